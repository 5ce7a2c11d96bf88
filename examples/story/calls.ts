/** What the story and its servers' processes say to one another. */

export interface Calls {
  put: { ask: { key: string; value: string }; reply: { revision: number; ms: number } }
  /** Linearizable. */
  get: { ask: { key: string }; reply: { value: string | undefined; ms: number } }
  look: { ask: undefined; reply: View & { lastApplied: number } }
}

/** Who leads, as one server sees it. */
export interface View {
  readonly role: string
  readonly term: number
  readonly leaderId: number | undefined
}

export interface Question<Name extends keyof Calls = keyof Calls> {
  readonly call: number
  readonly name: Name
  readonly ask: Calls[Name]['ask']
}

export type Note =
  | { readonly type: 'started' }
  | { readonly type: 'view'; readonly view: View }
  | { readonly type: 'reply'; readonly call: number; readonly reply: unknown }
  | { readonly type: 'failed'; readonly call: number | undefined; readonly code: string; readonly message: string }
  | { readonly type: 'notice'; readonly text: string }
