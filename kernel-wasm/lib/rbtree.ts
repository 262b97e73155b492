/**
 * Red-black trees (include/linux/rbtree.h): a node's first word is its parent's virtual address with the
 * colour in bit 0 (1 is black). The caller finds the place, links the node there (rb_link_node) and has the
 * tree coloured.
 */
import { rb_node, rb_root, rb_root_cached } from "../include/generated/structs";

const BLACK: u64 = 1;


@inline function same(a: rb_node, b: rb_node): bool {
  return changetype<usize>(a) == changetype<usize>(b);
}

@inline export function rb_parent(node: rb_node): rb_node {
  return changetype<rb_node>(pa(node.__rb_parent_color & ~<u64>3));
}

@inline function is_red(node: rb_node): bool {
  return !isnull(node) && !(node.__rb_parent_color & BLACK);
}

@inline function set_parent(node: rb_node, parent: rb_node): void {
  node.__rb_parent_color = va(changetype<usize>(parent)) | (node.__rb_parent_color & BLACK);
}

@inline function set_black(node: rb_node): void {
  node.__rb_parent_color |= BLACK;
}

@inline function set_red(node: rb_node): void {
  node.__rb_parent_color &= ~BLACK;
}

/** `link`: address of the parent's rb_left or rb_right, or of the root's pointer. */
export function rb_link_node(node: rb_node, parent: rb_node, link: usize): void {
  node.__rb_parent_color = va(changetype<usize>(parent));
  node.rb_left_va = 0;
  node.rb_right_va = 0;
  store<u64>(link, va(changetype<usize>(node)));
}

/** What pointed at `old` points at `node`; both may be null but not the parent's link. */
function change_child(root: rb_root, parent: rb_node, old: rb_node, node: rb_node): void {
  if (isnull(parent)) root.rb_node = node;
  else if (same(parent.rb_left, old)) parent.rb_left = node;
  else parent.rb_right = node;
}

/** `node` goes down on one side, its child of the other side takes its place. */
function rotate(root: rb_root, node: rb_node, left: bool): void {
  const up = left ? node.rb_right : node.rb_left;
  const inner = left ? up.rb_left : up.rb_right;
  const parent = rb_parent(node);
  if (left) node.rb_right = inner;
  else node.rb_left = inner;
  if (!isnull(inner)) set_parent(inner, node);
  change_child(root, parent, node, up);
  set_parent(up, parent);
  if (left) up.rb_left = node;
  else up.rb_right = node;
  set_parent(node, up);
}

/** Restores the colours after rb_link_node. */
export function rb_insert_color(at: rb_node, root: rb_root): void {
  let node = at;
  let parent = rb_parent(node);
  while (is_red(parent)) {
    const grandparent = rb_parent(parent);
    const left = same(grandparent.rb_left, parent);
    const uncle = left ? grandparent.rb_right : grandparent.rb_left;
    if (is_red(uncle)) {
      set_black(parent);
      set_black(uncle);
      set_red(grandparent);
      node = grandparent;
      parent = rb_parent(node);
      continue;
    }
    if (same(left ? parent.rb_right : parent.rb_left, node)) {
      node = parent;
      rotate(root, node, left);
      parent = rb_parent(node);
    }
    set_black(parent);
    set_red(grandparent);
    rotate(root, grandparent, !left);
  }
  set_black(root.rb_node);
}

/** One black too few on the side of `at`, a child of `above`. */
function erase_color(root: rb_root, at: rb_node, above: rb_node): void {
  let node = at;
  let parent = above;
  while (!isnull(parent) && !is_red(node)) {
    const left = same(parent.rb_left, node);
    let sibling = left ? parent.rb_right : parent.rb_left;
    if (is_red(sibling)) {
      set_black(sibling);
      set_red(parent);
      rotate(root, parent, left);
      sibling = left ? parent.rb_right : parent.rb_left;
    }
    const near = left ? sibling.rb_left : sibling.rb_right;
    const far = left ? sibling.rb_right : sibling.rb_left;
    if (!is_red(near) && !is_red(far)) {
      set_red(sibling);
      node = parent;
      parent = rb_parent(node);
      continue;
    }
    if (!is_red(far)) {
      set_black(near);
      set_red(sibling);
      rotate(root, sibling, !left);
      sibling = left ? parent.rb_right : parent.rb_left;
    }
    if (is_red(parent)) set_red(sibling);
    else set_black(sibling);
    set_black(parent);
    set_black(left ? sibling.rb_right : sibling.rb_left);
    rotate(root, parent, left);
    return;
  }
  if (!isnull(node)) set_black(node);
}

export function rb_erase(node: rb_node, root: rb_root): void {
  let child = node.rb_left;
  let parent = rb_parent(node);
  let was_black = !is_red(node);
  if (isnull(child) || isnull(node.rb_right)) {
    if (isnull(child)) child = node.rb_right;
    change_child(root, parent, node, child);
    if (!isnull(child)) set_parent(child, parent);
  } else {
    // The next node, which has no left child, takes the place and the colour.
    let next = node.rb_right;
    while (!isnull(next.rb_left)) next = next.rb_left;
    child = next.rb_right;
    was_black = !is_red(next);
    if (same(rb_parent(next), node)) parent = next;
    else {
      parent = rb_parent(next);
      parent.rb_left = child;
      if (!isnull(child)) set_parent(child, parent);
      next.rb_right = node.rb_right;
      set_parent(next.rb_right, next);
    }
    next.rb_left = node.rb_left;
    set_parent(next.rb_left, next);
    change_child(root, rb_parent(node), node, next);
    next.__rb_parent_color = node.__rb_parent_color;
  }
  if (was_black) erase_color(root, child, parent);
}

export function rb_first(root: rb_root): rb_node {
  let node = root.rb_node;
  while (!isnull(node) && !isnull(node.rb_left)) node = node.rb_left;
  return node;
}

/** The next node in order, or null. */
export function rb_next(from: rb_node): rb_node {
  let node = from;
  if (!isnull(node.rb_right)) {
    node = node.rb_right;
    while (!isnull(node.rb_left)) node = node.rb_left;
    return node;
  }
  let parent = rb_parent(node);
  while (!isnull(parent) && same(parent.rb_right, node)) {
    node = parent;
    parent = rb_parent(node);
  }
  return parent;
}

/** `leftmost`: the node went left all the way. */
export function rb_insert_color_cached(node: rb_node, root: rb_root_cached, leftmost: bool): void {
  if (leftmost) root.rb_leftmost = node;
  rb_insert_color(node, root.rb_root);
}

export function rb_erase_cached(node: rb_node, root: rb_root_cached): void {
  if (same(root.rb_leftmost, node)) root.rb_leftmost = rb_next(node);
  rb_erase(node, root.rb_root);
}
