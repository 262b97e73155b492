/**
 * machine_kexec: control leaves this kernel (arch/x86/kernel/machine_kexec_64.c). The hardware goes on with
 * the code at the image's entry point; nothing of this kernel runs again.
 */
import { kimage } from "../../include/generated/structs";

@external("hw", "jump") declare function hw_jump(entry: usize, arg: usize): void;

export function machine_kexec(image: kimage): void {
  hw_jump(<usize>image.start, 0);
}
