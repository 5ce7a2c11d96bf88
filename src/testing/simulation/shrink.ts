import type { Coordination } from './coordination.js'
import type { RunPlan } from './fault-plan.js'
import { runPlan, type RunResult } from './random-run.js'

/** Clients that coordinate, by kind. */
export const COORDINATING_KINDS = [
  'bankers',
  'holders',
  'sessions',
  'watchers',
  'travellers',
] as const satisfies (keyof Coordination)[]
export type CoordinatingKind = (typeof COORDINATING_KINDS)[number]

/** What of a plan is left out, so that a shrunk run can be asked for again by its seed. */
export interface PlanCut {
  /** Positions of the faults that stay. Default: all. */
  readonly keep?: readonly number[] | undefined
  /** When the clients stop, in virtual milliseconds. Default: the plan's. */
  readonly untilMs?: number | undefined
  /** How many clients. Default: the plan's. */
  readonly clients?: number | undefined
  /** How many of each kind of client that coordinates, where the plan has any. Default: the plan's. */
  readonly coordinating?: Readonly<Partial<Record<CoordinatingKind, number>>> | undefined
}

export function cutPlan(plan: RunPlan, { keep, untilMs, clients, coordinating }: PlanCut): RunPlan {
  return {
    ...plan,
    faults: keep === undefined ? plan.faults : plan.faults.filter((_, at) => keep.includes(at)),
    durationMs: untilMs ?? plan.durationMs,
    clients: clients ?? plan.clients,
    coordination: plan.coordination && { ...plan.coordination, ...coordinating },
  }
}

export interface Shrunk {
  readonly cut: PlanCut
  readonly result: RunResult
}

/**
 * Looks for a smaller run that breaks the same law: a shorter one, with fewer faults and fewer clients of each kind. Tries
 * `runsMax` runs at most (default 150).
 */
export function shrink(failed: RunResult, runsMax = 150): Shrunk {
  const { plan } = failed
  let best: Shrunk = {
    cut: { keep: [...plan.faults.keys()], untilMs: plan.durationMs, clients: plan.clients },
    result: failed,
  }
  let left = runsMax
  const attempt = (change: PlanCut): boolean => {
    if (left-- <= 0) return false
    const cut = { ...best.cut, ...change }
    const result = runPlan(cutPlan(plan, cut))
    if (result.violation?.law !== failed.violation?.law) return false
    best = { cut, result }
    return true
  }
  const endedAtMs = Math.ceil(failed.endedAtMs)
  if (endedAtMs < plan.durationMs)
    attempt({ untilMs: endedAtMs, keep: plan.faults.flatMap(({ atMs }, at) => (atMs <= endedAtMs ? at : [])) })
  let before: Shrunk
  do {
    before = best
    dropFaults(
      () => best.cut.keep ?? [],
      (keep) => attempt({ keep }),
    )
    for (const kind of COORDINATING_KINDS) {
      const count = (): number => best.cut.coordinating?.[kind] ?? plan.coordination?.[kind] ?? 0
      while (count() > 0 && attempt({ coordinating: { ...best.cut.coordinating, [kind]: count() - 1 } }));
    }
    while ((best.cut.clients ?? 1) > 1 && attempt({ clients: (best.cut.clients ?? 2) - 1 }));
    while (attempt({ untilMs: Math.floor((best.cut.untilMs ?? plan.durationMs) * 0.8) }));
  } while (best !== before && left > 0)
  return best
}

/** Leaves out halves, quarters and so on down to single faults, as long as the run still fails. */
function dropFaults(kept: () => readonly number[], attempt: (keep: readonly number[]) => boolean): void {
  for (let size = Math.ceil(kept().length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept().length;) {
      const keep = kept().filter((_, place) => place < at || place >= at + size)
      if (!attempt(keep)) at += size
    }
  }
}
