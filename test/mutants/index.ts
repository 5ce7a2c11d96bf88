import { COORDINATION_MUTANTS } from './in-coordination.js'
import { ELECTION_MUTANTS } from './in-elections.js'
import { MEMBERSHIP_MUTANTS } from './in-membership.js'
import { REPLICATION_MUTANTS } from './in-replication.js'
import { SNAPSHOT_MUTANTS } from './in-snapshots.js'
import { STORAGE_MUTANTS } from './in-storage.js'
import { LOOP_MUTANTS } from './in-the-loop.js'
import type { Mutant } from './mutant.js'

export const MUTANTS: readonly Mutant[] = [
  ...ELECTION_MUTANTS,
  ...REPLICATION_MUTANTS,
  ...STORAGE_MUTANTS,
  ...LOOP_MUTANTS,
  ...MEMBERSHIP_MUTANTS,
  ...SNAPSHOT_MUTANTS,
  ...COORDINATION_MUTANTS,
]
