/** Milliseconds by the machine's monotonic clock, which is the same in all processes of one machine. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
