import type { ServerId } from '../../src/machines/types.js'
import { Violation } from '../../src/testing/index.js'
import { Story } from '../integration/scenarios/story.js'

export type StoryOptions = NonNullable<ConstructorParameters<typeof Story>[0]>

/** No fault explains that a server stops. */
export const NO_FAILURES: Pick<StoryOptions, 'failed'> = {
  failed: (id, error) => {
    throw new Violation('a server stops only for a reason', `server ${id}: ${error.code}: ${error.message}`)
  },
}

/** Server 1 leads term 1, and all know that its no-op is committed. */
export function begin(options: StoryOptions = {}): Story {
  const story = Story.ledBy(1, { ...NO_FAILURES, ...options })
  story.until('all know that all is committed', () => story.running.every(({ id }) => isSettled(story, id)))
  return story
}

export function isSettled(story: Story, id: ServerId): boolean {
  return story.end(id) === story.end(1) && story.context(id).commitIndex === story.end(1)
}
