const DEPTH_MAX = 8
const FULL = /\b(?:ENOSPC|EDQUOT)\b|no space left on device|disk quota exceeded/i

/** Whether an error, or one beneath it, says that a disk or a quota on it is full. LevelDB says so in words alone. */
export function isDiskFull(error: unknown): boolean {
  let cause = error
  for (let depth = 0; depth < DEPTH_MAX && cause instanceof Error; depth++) {
    if (FULL.test(cause.message) || ('code' in cause && FULL.test(String(cause.code)))) return true
    cause = cause.cause
  }
  return false
}
