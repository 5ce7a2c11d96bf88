import { ActorumError } from '../errors.js'
import { checkNames, type CallOptions } from '../options.js'
import { CALL_NAMES, callOptionsOf, checkedInteger } from './call-checks.js'
import type { ClientApi, Session, SessionOptions } from './client-api.js'
import { Handles } from './handles.js'
import { SessionStore } from './session-store.js'
import type { Caller, StorePort } from './store-port.js'

export { SessionStore } from './session-store.js'

const SESSION_TIMEOUT_MS = { min: 1000, max: 0x7fff_ffff, fallback: 60_000 }

/** Opens a session, with callbacks. Throws what is wrong with the call. `ended`: once it has expired. */
export function beginSession(
  store: StorePort,
  timeoutMs: number,
  options: CallOptions | undefined,
  ended: (error: ActorumError) => void,
  caller: Caller<SessionStore>,
): void {
  const sentAt = store.clock.now()
  store.propose({ type: 'openSession', timeoutMs }, options, {
    // A session's id is the revision of its opening.
    resolve: ({ revision }) => caller.resolve(new SessionStore(store, { id: revision, timeoutMs, sentAt }, ended)),
    reject: (error) => caller.reject(error),
  })
}

/**
 * Opens a session: as `ClientApi.openSession`.
 * @param make - makes the client that lies over the session's store
 */
export async function openSession(
  store: StorePort,
  handles: Handles,
  options: SessionOptions | undefined,
  make: (store: StorePort, handles: Handles) => ClientApi,
): Promise<Session> {
  store.assertOpen()
  const timeoutMs = timeoutOf(options)
  const controller = new AbortController()
  // What is given out within the session ends with it.
  const within = new Handles()
  const expired = (error: ActorumError): void => {
    within.closeAll(error)
    controller.abort(error)
  }
  const session = await new Promise<SessionStore>((resolve, reject) => {
    beginSession(store, timeoutMs, callOptionsOf(options), expired, { resolve, reject })
  })
  const forget = keepWith(handles, session, within)
  controller.signal.addEventListener('abort', forget, { once: true })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    forget()
    closing ??= end(session, within)
    return closing
  }
  const { id } = session
  return Object.assign(make(session, within), { id, signal: controller.signal, close, [Symbol.asyncDispose]: close })
}

function timeoutOf(options: SessionOptions | undefined): number {
  if (options === undefined) return SESSION_TIMEOUT_MS.fallback
  const given: unknown = options
  checkNames(given, "the session's options", [...CALL_NAMES, 'sessionTimeoutMs'])
  const { min, max, fallback } = SESSION_TIMEOUT_MS
  return checkedInteger('sessionTimeoutMs', options.sessionTimeoutMs ?? fallback, min, max)
}

/** A client that closes takes its sessions along: nothing is sent in them any more, and they end by themselves. */
function keepWith(handles: Handles, session: SessionStore, within: Handles): () => void {
  const closed = (error: Error): void => {
    session.stop(new ActorumError('STOPPED', "the session's client was closed; open another one", { cause: error }))
    within.closeAll(error)
  }
  try {
    return handles.add(closed)
  } catch (error) {
    closed(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

/** Does not fail: a session that cannot be closed in the cluster ends there when it was silent for its time. */
async function end(session: SessionStore, within: Handles): Promise<void> {
  within.closeAll(new ActorumError('STOPPED', 'the session was closed; open another one'))
  await new Promise<void>((resolve, reject) => session.close(undefined, { resolve, reject })).catch(() => undefined)
}
