import { describe, it } from 'vitest'
import type { FaultKind } from '../../src/testing/index.js'
import { playStories } from './simulation-commands.js'

const PARTITIONS: readonly FaultKind[] = ['partition', 'one-way partition', 'partial cut', 'bridge', 'flapping link']

describe('a cluster under randomized partitions', () => {
  it('breaks no law with three servers', () => playStories({ faults: PARTITIONS, stories: 40 }))
  it('breaks no law with five servers', () => playStories({ faults: PARTITIONS, servers: 5 }))
  it('breaks no law when links also lose and delay what they carry', () => {
    playStories({ faults: [...PARTITIONS, 'loss', 'delay'] })
  })
})
