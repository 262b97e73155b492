/** The loopback device (drivers/net/loopback.c): `lo`, up from the start. */
import {
  ARPHRD_LOOPBACK,
  ENOMEM,
  ETH_ALEN,
  ETH_HLEN,
  GFP_KERNEL,
  IFF_LOOPBACK,
  LOOPBACK_MTU,
} from "../../include/generated/constants";
import { net_device, proc_dir_entry } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { proc_create_single, proc_mkdir } from "../../fs/proc/generic";
import { INIT_LIST_HEAD } from "../../lib/list";
import { strscpy } from "../../lib/string";
import { kzalloc } from "../../mm/slub";
import { dev_open, dev_seq_show, net_ns_init, register_netdevice } from "../../net/core/dev";

function loopback_setup(dev: net_device): void {
  dev.mtu = LOOPBACK_MTU;
  dev.hard_header_len = ETH_HLEN;
  dev.min_header_len = ETH_HLEN;
  dev.addr_len = ETH_ALEN;
  dev.type = ARPHRD_LOOPBACK;
  dev.flags = IFF_LOOPBACK;
  dev.dev_addr = dev.dev_addr_shadow;
  dev.netdev_ops = sym.loopback_ops;
  INIT_LIST_HEAD(dev.napi_list);
}

/** A namespace's own `lo`. */
export function loopback_net_init(): i32 {
  const dev = changetype<net_device>(kzalloc(net_device.SIZE, GFP_KERNEL));
  if (isnull(dev)) return -ENOMEM;
  strscpy(dev.name, c`lo`, 16);
  loopback_setup(dev);
  dev.nd_net = sym.init_net;
  const err = register_netdevice(dev);
  if (err) return err;
  sym.init_net.loopback_dev = dev;
  return dev_open(dev);
}

/** subsys_initcall. */
export function net_dev_init(): i32 {
  net_ns_init();
  const dir = proc_mkdir(c`net`, changetype<proc_dir_entry>(0));
  if (isnull(dir)) return -ENOMEM;
  sym.init_net.proc_net = dir;
  proc_create_single(c`dev`, 0o444, dir, fnptr(dev_seq_show));
  return loopback_net_init();
}
