import { setTimeout as pause } from 'node:timers/promises'

/** What this asks of the operating system. */
export interface PatienceSystem {
  readonly platform: string
  /** Resolves after `delayMs` milliseconds. */
  wait(delayMs: number): Promise<unknown>
}

const REAL_SYSTEM: PatienceSystem = { platform: process.platform, wait: (delayMs) => pause(delayMs) }
const HELD: readonly unknown[] = ['EACCES', 'EBUSY', 'EPERM']
/** Some five seconds in all. */
const PAUSES_MS = [10, 30, 100, 300, 1000, 3000]

/**
 * Renames or removes a file by `act`. Windows refuses that for as long as another program has the file open, as virus
 * scanners and indexers have new ones: there it is tried again for some seconds. Elsewhere, once.
 */
export async function patiently(act: () => Promise<void>, system = REAL_SYSTEM): Promise<void> {
  const pauses = system.platform === 'win32' ? PAUSES_MS : []
  for (const delayMs of pauses) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && HELD.includes(error.code))) throw error
    }
    await system.wait(delayMs)
  }
  return act()
}
