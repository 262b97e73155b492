/* What C has of types, and a kernel's own names as makedumpfile asks for them: it prints its layout. */
#include <stddef.h>
#include <stdio.h>
#include "pud.h"

struct list_head { struct list_head *next, *prev; };
typedef struct { long counter; } atomic64_t;
typedef atomic64_t atomic_long_t;
typedef struct { unsigned long bits[1]; } nodemask_t;

struct page {
  unsigned long flags;
  union {
    struct { struct list_head lru; void *mapping; unsigned long index, private; };
    struct { unsigned long compound_head; unsigned char compound_dtor, compound_order; };
  };
  union { int _mapcount; unsigned page_type; };
  int _refcount;
};
struct mem_section { unsigned long section_mem_map; void *usage; };
struct free_area { struct list_head free_list[6]; unsigned long nr_free; };
struct zone { unsigned long spanned_pages; struct free_area free_area[11]; atomic_long_t vm_stat[3]; };
struct new_utsname { char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65]; };
struct uts_namespace { struct new_utsname name; };
enum zone_stat_item { NR_FREE_PAGES = 7, NR_NEGATIVE = -3 };
enum pageflags { PG_lru = 4, PG_private = 13, PG_compound = 15, PG_swapcache = 300 };
enum huge { HUGETLB_PAGE_DTOR = 0x123456789 };

struct inner { short a; struct { char deep[3][5]; union { int either; long other; }; } named; };
struct outer {
  char c;
  struct inner inner;
  unsigned low : 3, high : 5;
  const void *opaque;
  const char *text;
  int (*call)(int);
  struct outer *next;
  struct inner many[4];
  struct inner *pointers[2];
  char tail[];
};
typedef struct outer outer_t;
struct only_declared;

extern char late[];
extern struct mem_section *mem_section[4];
struct uts_namespace init_uts_ns = { .name = { .sysname = "Linux", .release = "5.15.0-sample" } };
struct mem_section *mem_section[4];
struct zone *node_data[2];
struct outer variable;
volatile const outer_t *const pointer = &variable;
long matrix[3][4];
char late[24];
struct only_declared *hidden;
enum zone_stat_item item = NR_FREE_PAGES;
enum pageflags flag = PG_lru;
enum huge dtor = HUGETLB_PAGE_DTOR;
struct page a_page;
nodemask_t nodes;
pud_t pud;

#define SHOW(type, member) printf(#type "." #member " %zu\n", offsetof(struct type, member))
int main(void) {
  SHOW(page, mapping);
  SHOW(page, private);
  SHOW(page, compound_order);
  SHOW(page, _mapcount);
  SHOW(zone, vm_stat);
  SHOW(outer, inner);
  SHOW(outer, opaque);
  SHOW(outer, text);
  SHOW(outer, many);
  SHOW(outer, tail);
  SHOW(inner, named);
  SHOW(new_utsname, release);
  printf("inner.either %zu\n", offsetof(struct inner, named.either));
  printf("inner.deep %zu\n", offsetof(struct inner, named.deep));
  printf("outer %zu\ninner %zu\nzone %zu\n", sizeof(struct outer), sizeof(struct inner), sizeof(struct zone));
  return 0;
}
