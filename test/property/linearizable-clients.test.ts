import { describe, it } from 'vitest'
import { playStories } from './simulation-commands.js'

describe('clients see one copy (thesis §6)', () => {
  it('whatever leaders are deposed', () =>
    playStories({ faults: ['partition', 'one-way partition', 'pause', 'kill'], clients: 5 }))
  it('by lease too, while clocks keep to the bound', () => {
    playStories({
      faults: ['drift', 'pause', 'partition', 'leadership transfer'],
      linearizableReads: 'lease',
      clients: 5,
    })
  })
  it('whatever becomes of forwarded calls on their way', () => {
    playStories({
      faults: ['duplication', 'reordering', 'loss', 'leadership transfer'],
      requestTimeoutMs: 100,
      clients: 5,
    })
  })
})
