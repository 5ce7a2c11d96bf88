import { ActorumError } from '../errors.js'

/** A person's next step is no older copy: it would have forgotten votes, and entries that others count on. */
const ADVICE = [
  'Keep it as it is; if this server has peers, remove it from the cluster and let it join anew with an empty directory',
  'else see docs/disasters.md',
].join('; ')

/** That what a server had made durable is lost, or is not what it was. */
export function damaged(place: string, what: string, cause?: unknown): ActorumError {
  return new ActorumError('CORRUPT', `The ${place} is damaged: ${what}. ${ADVICE}.`, { cause })
}
