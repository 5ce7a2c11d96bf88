import { readFileSync } from 'node:fs'

/** What a process has resident, and what that consists of, in MB (2^20 bytes). */
export interface Breakdown {
  readonly rssMb: number
  /** Live objects, after a garbage collection, and what V8 has set aside for them. */
  readonly heapMb: number
  readonly heapTotalMb: number
  /** Live bytes outside the heap, and those among them that are ArrayBuffers. */
  readonly externalMb: number
  readonly arrayBuffersMb: number
  /** Of what is resident: files that are mapped into memory, and all else. NaN where there is no /proc. */
  readonly fileMb: number
  readonly anonymousMb: number
}

/** This process as it is now. Needs `--expose-gc`. */
export function memoryNow(): Breakdown {
  if (globalThis.gc === undefined) throw new Error('start this process with --expose-gc, or its memory cannot be told')
  globalThis.gc()
  const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage()
  const status = process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : ''
  return {
    rssMb: rss / 2 ** 20,
    heapMb: heapUsed / 2 ** 20,
    heapTotalMb: heapTotal / 2 ** 20,
    externalMb: external / 2 ** 20,
    arrayBuffersMb: arrayBuffers / 2 ** 20,
    fileMb: fieldOf(status, 'RssFile'),
    anonymousMb: fieldOf(status, 'RssAnon'),
  }
}

function fieldOf(status: string, name: string): number {
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
  return kilobytes === undefined ? NaN : Number(kilobytes) / 1024
}
