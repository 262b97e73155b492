/**
 * What jco's transpiler, itself a component, is given of WASI: nothing. No environment, no directories, no
 * input, bytes for its hash tables that are always the same; what it would print is dropped. The build puts
 * this in the place of jco's preview2-shim (tools/build/bindgen.ts).
 */

class InputStream {
  read(): Uint8Array {
    return new Uint8Array(0);
  }

  blockingRead(): Uint8Array {
    return new Uint8Array(0);
  }
}

class OutputStream {
  checkWrite(): bigint {
    return 65536n;
  }

  write(): void {}

  blockingWriteAndFlush(): void {}

  blockingFlush(): void {}
}

class Nothing {}

export const environment = { getEnvironment: (): [string, string][] => [] };
export const exit = {
  exit: (): never => {
    throw new Error("the transpiler gave up");
  },
};
export const stdin = { getStdin: (): InputStream => new InputStream() };
export const stdout = { getStdout: (): OutputStream => new OutputStream() };
export const stderr = { getStderr: (): OutputStream => new OutputStream() };
export const terminalInput = { TerminalInput: Nothing };
export const terminalOutput = { TerminalOutput: Nothing };
export const terminalStdin = { getTerminalStdin: (): undefined => undefined };
export const terminalStdout = { getTerminalStdout: (): undefined => undefined };
export const terminalStderr = { getTerminalStderr: (): undefined => undefined };
export const preopens = { getDirectories: (): [] => [] };
export const types = {
  Descriptor: Nothing,
  DirectoryEntryStream: Nothing,
  filesystemErrorCode: (): undefined => undefined,
};
export const error = { Error: Nothing };
export const streams = { InputStream, OutputStream };
export const random = { getRandomBytes: (length: bigint): Uint8Array => new Uint8Array(Number(length)) };
