/** The kdump service's configuration files: /etc/kdump.conf and /etc/sysconfig/kdump. */

/** An error in a configuration file, in the words of kdumpctl. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

export type Action = "reboot" | "halt" | "poweroff";

export interface KdumpConf {
  /** Where dumps go. */
  path: string;
  core_collector: string;
  /** What to do when saving failed. */
  failure_action: Action;
  /** What to do after saving. */
  final_action: Action;
}

const ACTIONS: readonly string[] = ["reboot", "halt", "poweroff"] satisfies Action[];

/** Reads /etc/kdump.conf: a directive a line, `#` comments; a directive may stand once. */
export function parseKdumpConf(text: string): KdumpConf {
  const conf: KdumpConf = {
    path: "/var/crash",
    core_collector: "cp",
    failure_action: "reboot",
    final_action: "reboot",
  };
  const seen = new Set<string>();
  for (const line of text.split("\n")) {
    const directive = line.replace(/#.*/, "").trim();
    if (directive === "") continue;
    const [option = "", ...rest] = directive.split(/\s+/);
    const value = rest.join(" ");
    if (!Object.hasOwn(conf, option)) throw new ConfigError(`Invalid kdump config option ${option}`);
    if (seen.has(option)) throw new ConfigError(`Duplicated kdump config value of option ${option}`);
    if (value === "" || (option.endsWith("_action") && !ACTIONS.includes(value))) {
      throw new ConfigError(`Invalid kdump config value for option '${option}'`);
    }
    seen.add(option);
    conf[option as keyof KdumpConf] = value as Action;
  }
  return conf;
}

/** Reads lines KEY="value" or KEY=value, as a shell would that sources /etc/sysconfig/kdump. */
export function parseSysconfig(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\s*([A-Z_]+)=(?:"([^"]*)"|(\S*))\s*(?:#.*)?$/.exec(line);
    if (match !== null) values.set(match[1]!, match[2] ?? match[3] ?? "");
  }
  return values;
}
