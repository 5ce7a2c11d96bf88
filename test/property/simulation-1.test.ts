import { describe } from 'vitest'
import { claimSeeds } from './simulation-seeds.js'

// Half of the seeds: the other half is a file of its own, so that two cores share them.
describe('a simulated cluster under random faults', () => claimSeeds(1, 150))
