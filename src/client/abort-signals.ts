/** Who waits for a signal. One listener for all of them: from the eleventh on Node warns of a leak. */
const waiting = new WeakMap<AbortSignal, { readonly acts: Set<() => void>; readonly listener: () => void }>()

/** Acts once the signal fires, unless it has been let go of by then, which the result does. It must not have fired yet. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const acts = waiting.get(signal)?.acts ?? begin(signal)
  // The same act may wait more than once.
  const own = (): void => act()
  acts.add(own)
  return () => {
    acts.delete(own)
    if (acts.size === 0) end(signal, acts)
  }
}

function begin(signal: AbortSignal): Set<() => void> {
  const acts = new Set<() => void>()
  const listener = (): void => {
    for (const act of acts) act()
  }
  waiting.set(signal, { acts, listener })
  signal.addEventListener('abort', listener, { once: true })
  return acts
}

function end(signal: AbortSignal, acts: Set<() => void>): void {
  const known = waiting.get(signal)
  if (known?.acts !== acts) return
  waiting.delete(signal)
  signal.removeEventListener('abort', known.listener)
}
