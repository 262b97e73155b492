/**
 * Networking as far as this machine has it: the network namespace with its loopback device and that device's
 * address (include/linux/{netdevice,inetdevice}.h, include/net/{net_namespace,sock,inet_sock}.h). Sockets are
 * types only: nobody makes one.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    typedef u32 __be32;
    typedef u16 __be16;
    struct net_device_stats {
      unsigned long rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped;
      unsigned long multicast, collisions;
    };
    struct net_device {
      char name[16];
      const char *ifalias;
      unsigned long mem_end, mem_start, base_addr;
      unsigned long state;
      struct list_head dev_list;
      struct list_head napi_list;
      unsigned int flags;
      unsigned int priv_flags;
      const struct net_device_ops *netdev_ops;
      unsigned short hard_header_len;
      unsigned int mtu;
      u64 features;
      int ifindex;
      unsigned short type;
      unsigned char min_header_len;
      struct net_device_stats stats;
      unsigned char operstate;
      unsigned char addr_len;
      struct in_device *ip_ptr;
      unsigned char *dev_addr;
      unsigned char dev_addr_shadow[32];
      int *pcpu_refcnt;
      struct net *nd_net;
    };
    struct net_device_ops { int (*ndo_init)(struct net_device *); int (*ndo_open)(struct net_device *); };
    struct in_ifaddr {
      struct hlist_node hash;
      struct in_ifaddr *ifa_next;
      struct in_device *ifa_dev;
      __be32 ifa_local;
      __be32 ifa_address;
      __be32 ifa_mask;
      u32 ifa_rt_priority;
      __be32 ifa_broadcast;
      unsigned char ifa_scope;
      unsigned char ifa_prefixlen;
      u32 ifa_flags;
      char ifa_label[16];
      u32 ifa_valid_lft;
      u32 ifa_preferred_lft;
      unsigned long ifa_cstamp;
      unsigned long ifa_tstamp;
    };
    struct in_device {
      struct net_device *dev;
      refcount_t refcnt;
      int dead;
      struct in_ifaddr *ifa_list;
    };
    struct net {
      refcount_t passive;
      spinlock_t rules_mod_lock;
      unsigned int dev_unreg_count;
      unsigned int dev_base_seq;
      int ifindex;
      struct list_head list;
      struct ns_common ns;
      struct list_head dev_base_head;
      struct proc_dir_entry *proc_net;
      struct net_device *loopback_dev;
    };

    struct in6_addr { union { u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u; };
    struct sock_common {
      __be32 skc_daddr;
      __be32 skc_rcv_saddr;
      unsigned int skc_hash;
      __be16 skc_dport;
      u16 skc_num;
      unsigned short skc_family;
      volatile unsigned char skc_state;
      int skc_bound_dev_if;
      struct net *skc_net;
      struct in6_addr skc_v6_daddr;
      struct in6_addr skc_v6_rcv_saddr;
    };
    struct sock {
      struct sock_common __sk_common;
      u16 sk_type;
      u16 sk_protocol;
      struct socket *sk_socket;
    };
    struct inet_sock {
      struct sock sk;
      __be32 inet_saddr;
      __be16 inet_sport;
    };
    struct socket {
      int state;
      short type;
      unsigned long flags;
      struct file *file;
      struct sock *sk;
      const void *ops;
    };
  `,
  data: `
    struct net init_net;
    struct list_head net_namespace_list;
  `,
  bss: `
    struct net_device_ops loopback_ops;
  `,
  defines: {
    IFF_UP: 1,
    IFF_LOOPBACK: 8,
    IFF_RUNNING: 0x40,
    IFF_LOWER_UP: 0x10000,
    ARPHRD_LOOPBACK: 772,
    ETH_HLEN: 14,
    ETH_ALEN: 6,
    IF_OPER_UNKNOWN: 0,
    LOOPBACK_MTU: 65536,
    RT_SCOPE_HOST: 254,
    INADDR_LOOPBACK: 0x7f000001,
    INFINITY_LIFE_TIME: 0xffffffff,
    IFA_F_PERMANENT: 0x80,
    PROC_NET_INIT_INO: 0xeffffff8,
  },
  backtrace: ["loopback_net_init"],
  targets: ["production"],
});
