/**
 * The machine's random numbers: xoshiro128** (Blackman and Vigna), one stream for each consumer, so that
 * what one of them draws does not shift another's. The whole state is four words, which a snapshot keeps.
 */

export type RandomState = [number, number, number, number];

export class Random {
  readonly #state: Uint32Array;

  /** The stream `name` of the machine with this seed. Its state goes into `words`, when some are given. */
  constructor(seed: number, name: string, words?: Uint32Array);
  /** Goes on with a stream whose state is in `words`: it writes nothing there before it draws. */
  constructor(words: Uint32Array);
  constructor(seed: number | Uint32Array, name = "", words: Uint32Array = new Uint32Array(4)) {
    if (typeof seed !== "number") {
      this.#state = seed;
      return;
    }
    this.#state = words;
    // splitmix32 over seed and name (FNV-1a) fills the state; four zero words, the one bad state, cannot
    // come out of four consecutive outputs of a bijection.
    let x = 0x811c9dc5;
    for (let i = 0; i < name.length; i++) x = Math.imul(x ^ name.charCodeAt(i), 0x01000193);
    x = (x ^ seed) | 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) | 0;
      let z = x ^ (x >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      this.#state[i] = z ^ (z >>> 15);
    }
  }

  /** 32 bits, as an unsigned number. */
  u32(): number {
    const s = this.#state;
    const s1 = s[1] as number;
    const x = Math.imul(s1, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = s1 << 9;
    s[2] = (s[2] as number) ^ (s[0] as number);
    s[3] = (s[3] as number) ^ s1;
    s[1] = s1 ^ (s[2] as number);
    s[0] = (s[0] as number) ^ (s[3] as number);
    s[2] = (s[2] as number) ^ t;
    const s3 = s[3] as number;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  /** Fills `words` with random words: what as many u32() would give, with the state in locals. */
  fill(words: Uint32Array): void {
    let [s0, s1, s2, s3] = this.state;
    for (let i = 0; i < words.length; i++) {
      const x = Math.imul(s1, 5);
      words[i] = Math.imul((x << 7) | (x >>> 25), 9);
      const t = s1 << 9;
      s2 ^= s0;
      s3 ^= s1;
      s1 ^= s2;
      s0 ^= s3;
      s2 ^= t;
      s3 = (s3 << 11) | (s3 >>> 21);
    }
    this.#state.set([s0, s1, s2, s3]);
  }

  get state(): RandomState {
    return Array.from(this.#state) as RandomState;
  }

  set state(words: RandomState) {
    this.#state.set(words);
  }
}
