/** What one frame may hold. A frame beyond it is refused; a message beyond it is not sent. */
export interface FrameLimits {
  /** Bytes of a whole frame, its header included. */
  readonly frameBytesMax: number
  /** Runs in one appendEntries. */
  readonly runsMax: number
}

/** 16 MiB and 1,024 runs: several times what a leader sends at once by default. */
export const DEFAULT_FRAME_LIMITS: FrameLimits = { frameBytesMax: 16 * 1024 * 1024, runsMax: 1024 }

/** Bytes of all parts together. */
export function bytesOf(parts: readonly Uint8Array[]): number {
  let total = 0
  for (const part of parts) total += part.length
  return total
}
