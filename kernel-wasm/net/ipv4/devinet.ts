/**
 * IPv4 addresses of devices (net/ipv4/devinet.c): a loopback device gets 127.0.0.1 when it comes up.
 */
import {
  ENOMEM,
  GFP_KERNEL,
  IFA_F_PERMANENT,
  IFF_LOOPBACK,
  INADDR_LOOPBACK,
  INFINITY_LIFE_TIME,
  RT_SCOPE_HOST,
} from "../../include/generated/constants";
import { in_device, in_ifaddr, net_device } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { kzalloc } from "../../mm/slub";

const LOOPBACK_PREFIX: u8 = 8;
const LOOPBACK_MASK: u32 = 0xff000000;

export function inetdev_init(dev: net_device): i32 {
  const in_dev = changetype<in_device>(kzalloc(in_device.SIZE, GFP_KERNEL));
  if (isnull(in_dev)) return -ENOMEM;
  in_dev.refcnt.refs.counter = 1;
  in_dev.dev = dev;
  dev.ip_ptr = in_dev;
  return 0;
}

/** Addresses stand in network byte order. */
export function inetdev_up(dev: net_device): i32 {
  const in_dev = dev.ip_ptr;
  if ((dev.flags & IFF_LOOPBACK) == 0 || in_dev.ifa_list_va != 0) return 0;
  const ifa = changetype<in_ifaddr>(kzalloc(in_ifaddr.SIZE, GFP_KERNEL));
  if (isnull(ifa)) return -ENOMEM;
  ifa.ifa_local = bswap<u32>(INADDR_LOOPBACK);
  ifa.ifa_address = ifa.ifa_local;
  ifa.ifa_prefixlen = LOOPBACK_PREFIX;
  ifa.ifa_mask = bswap<u32>(LOOPBACK_MASK);
  ifa.ifa_scope = RT_SCOPE_HOST;
  ifa.ifa_flags = IFA_F_PERMANENT;
  ifa.ifa_valid_lft = INFINITY_LIFE_TIME;
  ifa.ifa_preferred_lft = INFINITY_LIFE_TIME;
  ifa.ifa_cstamp = sym.jiffies_64;
  ifa.ifa_tstamp = sym.jiffies_64;
  memory.copy(ifa.ifa_label, dev.name, 16);
  in_dev.refcnt.refs.counter += 1;
  ifa.ifa_dev = in_dev;
  in_dev.ifa_list = ifa;
  return 0;
}
