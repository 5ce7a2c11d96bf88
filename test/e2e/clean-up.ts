const pending = new Set<() => void>()
let isWatching = false

/**
 * Has something undone when this process ends, however it ends but by `kill -9`. Returns what takes that back, once it
 * has been undone in good order.
 */
export function undoAtExit(undo: () => void): () => void {
  pending.add(undo)
  if (!isWatching) watch()
  return () => pending.delete(undo)
}

function watch(): void {
  isWatching = true
  process.on('exit', () => pending.forEach((undo) => undo()))
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(signals[signal]))
  }
}
