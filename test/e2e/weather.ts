/** What the way from one server to another does to bytes. */
export interface Weather {
  /**
   * `held`: nothing gets through, and nobody is told; what was sent meanwhile arrives once the way is open again, as TCP
   * would send it again. `reset`: connections are reset, and new ones too as soon as their dialler has said who it is.
   */
  readonly passage: Passage
  /** How long every byte takes (ms). */
  readonly delayMs: number
  /** How many bytes pass in a second. */
  readonly bytesPerSecond: number
}

export type Passage = 'open' | 'held' | 'reset'

export const FAIR: Weather = { passage: 'open', delayMs: 0, bytesPerSecond: Infinity }

/** Of several weathers at once the worst counts. */
export function worst(weathers: readonly Partial<Weather>[]): Weather {
  const all = weathers.map((weather) => ({ ...FAIR, ...weather }))
  const passages = all.map(({ passage }) => passage)
  return {
    passage: passages.includes('reset') ? 'reset' : passages.includes('held') ? 'held' : 'open',
    delayMs: Math.max(0, ...all.map(({ delayMs }) => delayMs)),
    bytesPerSecond: Math.min(...all.map(({ bytesPerSecond }) => bytesPerSecond), Infinity),
  }
}
