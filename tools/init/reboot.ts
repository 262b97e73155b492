/** The commands of reboot(2) (include/uapi/linux/reboot.h). */

export const REBOOT_CMD_RESTART = 0x01234567;
export const REBOOT_CMD_HALT = 0xcdef0123;
export const REBOOT_CMD_POWER_OFF = 0x4321fedc;
export const REBOOT_CMD_KEXEC = 0x45584543;
