import { describe, expect, it } from "vitest";
import { O_CREAT, O_WRONLY, type Program } from "../../runtime/user/proc.ts";
import { cp } from "../../tools/init/cp.ts";
import { crashConf } from "../../tools/init/crashes.ts";
import { runner } from "../../tools/init/exec.ts";
import { init } from "../../tools/init/main.ts";
import { REBOOT_CMD_POWER_OFF, REBOOT_CMD_RESTART } from "../../tools/init/reboot.ts";
import { dateStamp, kdump } from "../../tools/kdumpctl/kdump.ts";
import { captureCommandLine, kdumpctl } from "../../tools/kdumpctl/kdumpctl.ts";
import { main as kexec } from "../../tools/kexec/main.ts";
import { namedKernel } from "../support/dumps.ts";
import { FakeProc } from "../support/fake-proc.ts";

const dmesg: Program = async (proc) => {
  await proc.write(1, `log of ${proc.argv[1]}\n`);
  return 0;
};

/** A machine's files: the first kernel's, or with `vmcore` the capture kernel's. */
function machine(
  argv: string[],
  { vmcore, cmdline = "console=ttyS0 crashkernel=1M" }: { vmcore?: string; cmdline?: string } = {},
) {
  const proc = new FakeProc(argv);
  for (const [path, name] of [
    ["/init", "init"],
    ["/bin/cp", "cp"],
    ["/sbin/kexec", "kexec"],
    ["/sbin/vmcore-dmesg", "vmcore-dmesg"],
    ["/usr/bin/kdumpctl", "kdumpctl"],
  ] as const) {
    proc.put(path, `#!program ${name}\n`);
  }
  proc.put("/boot/vmlinuz", "kernel");
  proc.put("/boot/initramfs-kdump.img", "initrd");
  proc.put("/etc/kdump.conf", "path /var/crash\ncore_collector cp # all of it\n");
  proc.put(
    "/etc/sysconfig/kdump",
    'KDUMP_COMMANDLINE=""\nKDUMP_COMMANDLINE_REMOVE="quiet wkdump.crash"\n' +
      'KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1"\n' +
      'KEXEC_ARGS="-s"\nKDUMP_BOOTDIR="/boot"\nKDUMP_IMG="vmlinuz"\n',
  );
  proc.put("/etc/crash.conf", crashConf());
  proc.put("/proc/cmdline", `${cmdline}\n`);
  proc.put("/proc/iomem", "00100000-00ffffff : System RAM\n  00f00000-00ffffff : Crash kernel\n");
  proc.put("/proc/sysrq-trigger", "");
  proc.put("/proc/meminfo", "MemTotal:  8000 kB\nMemFree:   6000 kB\n");
  proc.put("/dev/urandom", "seed");
  proc.put("/dev/ram0", "");
  proc.directories.add("/var/crash");
  if (vmcore !== undefined) {
    proc.put("/usr/bin/kdump", "#!program kdump\n");
    proc.put("/proc/vmcore", vmcore);
  }
  const programs: Record<string, Program> = { cp, kexec, "vmcore-dmesg": dmesg };
  const run = runner(programs);
  Object.assign(programs, { init: init(run), kdump: kdump(run), kdumpctl: kdumpctl(run) });
  return { proc, run: () => run(proc, argv), programs };
}

const DIRECTORY = "/var/crash/127.0.0.1-2023-11-14-22:13:20";

describe("init of the first kernel", () => {
  it("loads the capture kernel and crashes", async () => {
    const { proc, run } = machine(["/init"], {
      cmdline: "console=ttyS0 quiet crashkernel=1M wkdump.crash=sysrq-c",
    });
    await run();
    expect(proc.loads).toEqual([
      {
        kernel: "/boot/vmlinuz",
        initrd: "/boot/initramfs-kdump.img",
        cmdline: "console=ttyS0 irqpoll nr_cpus=1",
        flags: 2,
      },
    ]);
    expect(proc.text("/proc/sysrq-trigger")).toBe("c");
    expect(proc.console).toMatch(
      /kdump: kexec: loaded kdump kernel\nkdump: Starting kdump: \[OK\]\n.*echo c > /,
    );
    // The fake machine survives; init must not end.
    expect(proc.reboots).toEqual([REBOOT_CMD_POWER_OFF]);
  });

  it("powers off when asked for no crash", async () => {
    const { proc, run } = machine(["/init"], { cmdline: "crashkernel=1M wkdump.crash=none" });
    await run();
    expect(proc.text("/proc/sysrq-trigger")).toBe("");
    expect(proc.reboots).toEqual([REBOOT_CMD_POWER_OFF]);
  });

  it("says why nothing was loaded, and crashes all the same", async () => {
    const { proc, run } = machine(["/init"]);
    proc.put("/proc/iomem", "00100000-00ffffff : System RAM\n");
    await run();
    expect(proc.loads).toEqual([]);
    expect(proc.console).toContain("Memory for crashkernel is not reserved\n");
    expect(proc.console).toContain("kdump: Starting kdump: [FAILED]\n");
    expect(proc.text("/proc/sysrq-trigger")).toBe("c");
  });

  it("knows no other crash types", async () => {
    const { proc, run } = machine(["/init"], { cmdline: "wkdump.crash=meltdown" });
    await run();
    expect(proc.console).toContain("/etc/crash.conf knows no crash type meltdown");
    expect(proc.text("/proc/sysrq-trigger")).toBe("");
  });
});

describe("kdump in the capture kernel", () => {
  it("saves log and memory, synced before they are renamed, and restarts", async () => {
    const { proc, run } = machine(["/init"], { vmcore: "the old memory" });
    await run();
    expect(proc.text(`${DIRECTORY}/vmcore`)).toBe("the old memory");
    expect(proc.text(`${DIRECTORY}/vmcore-dmesg.txt`)).toBe("log of /proc/vmcore\n");
    expect(proc.log).toEqual([
      `fsync ${DIRECTORY}/vmcore-dmesg-incomplete.txt`,
      `rename ${DIRECTORY}/vmcore-dmesg-incomplete.txt ${DIRECTORY}/vmcore-dmesg.txt`,
      `fsync ${DIRECTORY}`,
      `fsync ${DIRECTORY}/vmcore-incomplete`,
      `rename ${DIRECTORY}/vmcore-incomplete ${DIRECTORY}/vmcore`,
      `fsync ${DIRECTORY}`,
    ]);
    expect(proc.console.split("\n")).toEqual([
      `kdump: saving to ${DIRECTORY}`,
      `kdump: saving vmcore-dmesg.txt to ${DIRECTORY}/`,
      "kdump: saving vmcore-dmesg.txt complete",
      "kdump: saving vmcore",
      "kdump: saving vmcore complete",
      "kdump: Executing final action reboot",
      "",
    ]);
    expect(proc.reboots[0]).toBe(REBOOT_CMD_RESTART);
  });

  it("runs the core_collector of kdump.conf; what comes as a stream gets the name of one", async () => {
    for (const [options, name] of [
      ["-l -d 31", "vmcore"],
      ["-F -l -d 31", "vmcore.flat"],
    ]) {
      const { proc, run, programs } = machine(["/init"], { vmcore: "the old memory" });
      proc.put("/sbin/makedumpfile", "#!program makedumpfile\n");
      proc.put("/etc/kdump.conf", `core_collector makedumpfile ${options}\n`);
      programs.makedumpfile = async (it) => {
        const [, ...args] = it.argv;
        const line = args.join(" ");
        if (args.includes("-F")) await it.write(1, line);
        else await it.write(await it.open(args.at(-1)!, O_WRONLY | O_CREAT), line);
        return 0;
      };
      await run();
      expect(proc.text(`${DIRECTORY}/${name}`)).toMatch(new RegExp(`^${options} /proc/vmcore`));
      expect(proc.files.has(`${DIRECTORY}/vmcore-incomplete`)).toBe(false);
    }
  });

  it("knows WebAssembly by its first bytes, and says what is wrong with it", async () => {
    const core = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    const damaged = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 1, 99);
    for (const [bytes, vmcore, message] of [
      [core, namedKernel().build(), "it is a core module of WebAssembly, not a component: "],
      [damaged, namedKernel().build(), "the component is damaged: it ends too early\n"],
      [damaged, "the old memory", "/proc/vmcore, offset 0x0: the file does not begin"],
    ] as const) {
      const { proc, run } = machine(["/init"], { vmcore: "" });
      proc.put("/proc/vmcore", vmcore);
      proc.put("/usr/lib/kdump/collector.wasm", bytes);
      proc.put("/etc/kdump.conf", "core_collector /usr/lib/kdump/collector.wasm -d 31\n");
      await run();
      expect(proc.console).toContain(`kdump: /usr/lib/kdump/collector.wasm: ${message}`);
      expect(proc.console).toContain("kdump: saving vmcore failed, exitcode:1\n");
      expect(proc.files.has(`${DIRECTORY}/vmcore`)).toBe(false);
    }
  });

  it("leaves a stream that broke off under no final name", async () => {
    const { proc, run, programs } = machine(["/init"], { vmcore: "the old memory" });
    proc.put("/sbin/makedumpfile", "#!program makedumpfile\n");
    proc.put("/etc/kdump.conf", "core_collector makedumpfile -F\n");
    programs.makedumpfile = async () => 1;
    await run();
    expect(proc.files.has(`${DIRECTORY}/vmcore.flat`)).toBe(false);
    expect(proc.console).toContain("kdump: saving vmcore failed, exitcode:1\n");
  });

  it("takes the next name when the second was used", async () => {
    const { proc, run } = machine(["/init"], { vmcore: "new" });
    proc.put(`${DIRECTORY}/vmcore`, "old");
    proc.put(`${DIRECTORY}.1/vmcore`, "older");
    await run();
    expect(proc.text(`${DIRECTORY}/vmcore`)).toBe("old");
    expect(proc.text(`${DIRECTORY}.2/vmcore`)).toBe("new");
  });

  it("leaves no vmcore under its name when the disk is full, and takes the failure action", async () => {
    const { proc, run } = machine(["/init"], { vmcore: "the old memory" });
    proc.failures.set(`write ${DIRECTORY}/vmcore-incomplete`, "ENOSPC");
    await run();
    expect(proc.files.has(`${DIRECTORY}/vmcore`)).toBe(false);
    expect(proc.console).toContain("cp: write");
    expect(proc.console).toContain("No space left on device");
    expect(proc.console).toContain(
      "kdump: saving vmcore failed, exitcode:1\nkdump: Executing failure action reboot\n",
    );
  });

  it("saves the memory although the log cannot be read", async () => {
    const { proc, run, programs } = machine(["/init"], { vmcore: "the old memory" });
    programs["vmcore-dmesg"] = async () => 1;
    await run();
    expect(proc.console).toContain("kdump: saving vmcore-dmesg.txt failed\n");
    expect(proc.text(`${DIRECTORY}/vmcore`)).toBe("the old memory");
  });

  it("does not save when the sync fails", async () => {
    const { proc, run } = machine(["/init"], { vmcore: "the old memory" });
    proc.failures.set(`fsync ${DIRECTORY}/vmcore-incomplete`, "EIO");
    await run();
    expect(proc.console).toContain("kdump: sync vmcore failed, exitcode:1");
    expect(proc.files.has(`${DIRECTORY}/vmcore`)).toBe(false);
  });

  it("says so when there is no old memory", async () => {
    const { proc, run } = machine(["/init"], { vmcore: "" });
    proc.files.delete("/proc/vmcore");
    await run();
    expect(proc.console).toBe(
      "kdump: /proc/vmcore does not exist: there is nothing to save\n" +
        "kdump: Executing failure action reboot\n",
    );
  });

  it("refuses a configuration that it does not understand", async () => {
    const { proc, run } = machine(["/init"], { vmcore: "x" });
    proc.put("/etc/kdump.conf", "path /var/crash\nraw /dev/sda\n");
    await run();
    expect(proc.console).toContain("kdump: Invalid kdump config option raw\n");
  });

  it("names directories as date +%Y-%m-%d-%T does", () => {
    expect(dateStamp(0)).toBe("1970-01-01-00:00:00");
    expect(dateStamp(1_700_000_000)).toBe("2023-11-14-22:13:20");
  });
});

describe("kexec", () => {
  const load = async (...args: string[]) => {
    const proc = machine(["kexec", ...args]).proc;
    return { proc, status: await kexec(proc) };
  };

  it("reads options as getopt does", async () => {
    const { proc, status } = await load(
      "-ps",
      "--append",
      "a b",
      "--ramdisk=/boot/initramfs-kdump.img",
      "/boot/vmlinuz",
    );
    expect(status).toBe(0);
    expect(proc.loads[0]).toMatchObject({ cmdline: "a b", flags: 2, initrd: "/boot/initramfs-kdump.img" });
  });

  it("says NO_INITRAMFS without an initrd", async () => {
    expect((await load("-p", "/boot/vmlinuz")).proc.loads[0]).toMatchObject({ flags: 6, initrd: undefined });
  });

  it("reuses the running command line without crashkernel=", async () => {
    expect((await load("-p", "--reuse-cmdline", "/boot/vmlinuz")).proc.loads[0]?.cmdline).toBe(
      "console=ttyS0",
    );
  });

  it("unloads the crash kernel", async () => {
    expect((await load("-p", "-u")).proc.loads[0]).toMatchObject({ flags: 3 });
  });

  it("prints the kernel's refusal", async () => {
    const { proc } = machine(["kexec", "-p", "/boot/vmlinuz"]);
    proc.failures.set("kexec_file_load", "EADDRNOTAVAIL");
    expect(await kexec(proc)).toBe(1);
    expect(proc.console).toBe("kexec_file_load failed: Cannot assign requested address\n");
  });

  it.each([
    [["-p"], "No kernel specified\n"],
    [["-p", "/no"], "Cannot open /no: No such file or directory\n"],
    [["-c", "-l", "/boot/vmlinuz"], "kexec_load failed: Function not implemented\n"],
    [["--bogus"], "kexec: unrecognized option '--bogus'\n"],
    [["-P"], "kexec: invalid option -- 'P'\n"],
    [["--append"], "kexec: option '--append' requires an argument\n"],
    [["--status"], "Cannot open /sys/kernel/kexec_crash_loaded: No such file or directory\n"],
  ])("refuses %j", async (args, text) => {
    const { proc, status } = await load(...args);
    expect(status).toBe(1);
    expect(proc.console.startsWith(text)).toBe(true);
  });
});

describe("programs", () => {
  it("are found by the name in their file", async () => {
    const proc = new FakeProc([]);
    const run = runner({});
    proc.put("/bin/x", "#!program y\n");
    expect(await run(proc, ["x"])).toBe(127);
    expect(await run(proc, ["z"])).toBe(127);
    expect(proc.console).toBe("x: cannot execute: required file not found\nz: command not found\n");
  });

  it("write to another file as their standard output", async () => {
    const proc = new FakeProc([]);
    proc.put("/bin/dmesg", "#!program dmesg\n");
    proc.put("/out", "");
    const fd = await proc.open("/out", 1);
    expect(await runner({ dmesg })(proc, ["dmesg", "a"], fd)).toBe(0);
    expect(proc.text("/out")).toBe("log of a\n");
  });

  it("change the capture kernel's command line by whole words", () => {
    const change = { remove: ["quiet"], append: ["nr_cpus=1"] };
    expect(captureCommandLine("quiet quieter=1 crashkernel=1M crashkernel=2M x\n", change)).toBe(
      "quieter=1 x nr_cpus=1",
    );
  });
});
