/** Network devices of the one namespace (net/core/dev.c, net_namespace.c, net-procfs.c). */
import {
  EEXIST,
  IFF_UP,
  PROC_NET_INIT_INO,
} from "../../include/generated/constants";
import { net, net_device, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { seq_printf, seq_puts } from "../../fs/seq_file";
import { INIT_LIST_HEAD, list_add_tail, list_is_head } from "../../lib/list";
import { strcmp } from "../../lib/string";
import { inetdev_init, inetdev_up } from "../ipv4/devinet";

/** init_net, which every task's nsproxy names. */
export function net_ns_init(): void {
  const ns = sym.init_net;
  INIT_LIST_HEAD(sym.net_namespace_list);
  INIT_LIST_HEAD(ns.dev_base_head);
  ns.passive.refs.counter = 1;
  ns.ns.count.refs.counter = 1;
  ns.ns.inum = PROC_NET_INIT_INO;
  list_add_tail(ns.list, sym.net_namespace_list);
  sym.init_nsproxy.net_ns = ns;
}

export function dev_get_by_name(ns: net, name: usize): net_device {
  const head = ns.dev_base_head;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const dev = net_device.from_dev_list(at);
    if (strcmp(dev.name, name) == 0) return dev;
  }
  return changetype<net_device>(0);
}

/** Lets the device initialise itself, and lists it, with a number and IPv4 settings. */
export function register_netdevice(dev: net_device): i32 {
  const ns = dev.nd_net;
  if (!isnull(dev_get_by_name(ns, dev.name))) return -EEXIST;
  const init = dev.netdev_ops.ndo_init;
  let err = init == 0 ? 0 : call_indirect<i32>(text_index(init), dev);
  if (!err) err = inetdev_init(dev);
  if (err) return err;
  ns.ifindex += 1;
  dev.ifindex = ns.ifindex;
  list_add_tail(dev.dev_list, ns.dev_base_head);
  ns.dev_base_seq += 1;
  return 0;
}

/** Brings a device up, and tells the protocols. */
export function dev_open(dev: net_device): i32 {
  if (dev.flags & IFF_UP) return 0;
  const open = dev.netdev_ops.ndo_open;
  const err = open == 0 ? 0 : call_indirect<i32>(text_index(open), dev);
  if (err) return err;
  dev.flags |= IFF_UP;
  return inetdev_up(dev);
}

/** /proc/net/dev. */
export function dev_seq_show(m: seq_file, v: usize): i32 {
  seq_puts(m, c`Inter-|   Receive                                                |  Transmit\n`);
  seq_puts(m, c` face |bytes    packets errs drop fifo frame compressed multicast|bytes    `);
  seq_puts(m, c`packets errs drop fifo colls carrier compressed\n`);
  const head = sym.init_net.dev_base_head;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const dev = net_device.from_dev_list(at);
    const s = dev.stats;
    seq_printf(
      m, c`%6s: %7lu %7lu %4lu %4lu %4lu %5lu %10lu %9lu `, dev.name, s.rx_bytes, s.rx_packets, s.rx_errors,
      s.rx_dropped, 0, 0, 0, s.multicast,
    );
    seq_printf(
      m, c`%8lu %7lu %4lu %4lu %4lu %5lu %7lu %10lu\n`, s.tx_bytes, s.tx_packets, s.tx_errors, s.tx_dropped,
      0, s.collisions, 0, 0,
    );
  }
  return 0;
}
