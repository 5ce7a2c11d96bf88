import type { Clock, Random } from '../machines/time-and-chance.js'

/**
 * The real clock and the real source of chance: the only place where either enters a server. A timer that fires is
 * reported after one further poll phase, so that messages which waited in the sockets through a pause are heard first:
 * without that, 15 of 15 election timeouts fired after a pause of 300 ms although heartbeats had arrived.
 */
export const realClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimeout(callback, delayMs) {
    const timer: RealTimer = { handle: undefined, isCleared: false }
    timer.handle = setTimeout(() => {
      setImmediate(() => {
        if (!timer.isCleared) callback()
      })
    }, delayMs)
    return timer
  },
  clearTimeout(timer) {
    if (!isRealTimer(timer)) return
    timer.isCleared = true
    clearTimeout(timer.handle)
  },
  defer: (callback) => void setImmediate(callback),
}

interface RealTimer {
  handle: ReturnType<typeof setTimeout> | undefined
  isCleared: boolean
}

function isRealTimer(timer: unknown): timer is RealTimer {
  return typeof timer === 'object' && timer !== null && 'isCleared' in timer
}

/** Chance from the platform's own generator. */
export const realRandom: Random = {
  uint32() {
    return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
  },
}
