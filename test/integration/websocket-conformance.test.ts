import { afterEach, describe, it } from 'vitest'
import { transportSuite } from '../../src/testing/transport-suite.js'
import { WebSocketSubject } from './websocket-subject.js'

describe('the WebSocket transport', () => {
  let subject: WebSocketSubject | undefined
  afterEach(() => subject?.close())

  for (const claim of transportSuite) it(claim.name, () => claim.check((subject = new WebSocketSubject())))
})
