import { configurationOf, type RaftContext } from '../machines/context.js'
import { isServing } from '../machines/leadership.js'
import { voteResult } from '../machines/quorum.js'
import type { ServerId } from '../machines/types.js'

/**
 * To whom an unhealthy leader may hand leadership at `now`: the voter within reach that has all that is committed and
 * most of the rest. Nobody where the others make no quorum without this server: they could then decide nothing that
 * does not wait for it, whoever leads.
 */
export function successorOf(context: RaftContext, now: number): ServerId | undefined {
  const { leadership, settings, commitIndex } = context
  if (leadership === undefined || leadership.transfer !== undefined || !isServing(context)) return undefined
  const configuration = configurationOf(context)
  const within = new Map(
    [...leadership.progress].filter(([, { mode, contactAt }]) => {
      return mode !== 'down' && now - contactAt <= settings.electionTimeoutMs
    }),
  )
  if (voteResult(configuration, (id) => within.has(id)) !== 'won') return undefined
  let best: ServerId | undefined
  let bestMatch = commitIndex - 1
  for (const [id, { mode, matchIndex }] of within) {
    if (mode !== 'replicate' || matchIndex <= bestMatch || !configuration.voters.includes(id)) continue
    best = id
    bestMatch = matchIndex
  }
  return best
}
