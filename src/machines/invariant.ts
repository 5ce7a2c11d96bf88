/**
 * A law of Raft or of this implementation did not hold. The server that finds it stops (fail-stop): going on could
 * turn one wrong value into many.
 */
export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken'
  readonly code = 'INVARIANT_BROKEN'
}

/** Stops the server unless `holds`. `law` says what should have been true. */
export function invariant(holds: unknown, law: string, found?: unknown): asserts holds {
  if (!holds) throw new InvariantBroken(found === undefined ? law : `${law}; found ${JSON.stringify(found)}`)
}

/** For the end of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new InvariantBroken(`no case for ${JSON.stringify(value)}`)
}
