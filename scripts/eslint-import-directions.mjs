// The rule that holds the house together: imports point downwards only, the machines know nothing but XState, and what
// also runs in a browser reaches nothing that does not. Types count for directions, since a type is knowledge too.
import { isBuiltin } from 'node:module'
import { dirname, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('../src', import.meta.url))

const PORTS = ['transport', 'storage', 'state-machines']
const TO_ACTORS = ['machines', 'errors', 'options', ...PORTS, 'actors']
const TO_ENGINE = [...TO_ACTORS, 'client', 'engine']

/** What each part of src may import beside itself. */
export const MAY_IMPORT = {
  machines: [],
  errors: [],
  options: ['machines', 'errors'],
  transport: ['machines', 'errors', 'options'],
  storage: ['machines', 'errors', 'options'],
  'state-machines': ['machines', 'errors', 'options'],
  actors: TO_ACTORS,
  client: TO_ACTORS,
  engine: TO_ENGINE,
  disaster: TO_ENGINE,
  index: [...TO_ENGINE, 'disaster'],
  server: [...TO_ENGINE, 'disaster'],
  inspector: ['index'],
  testing: [...TO_ENGINE, 'index'],
}

/** What users import: the inspector sees the rest of the house only through these. */
const PUBLIC_ENTRIES = ['index', 'machines/index', 'client/index']
const PACKAGES_OF_MACHINES = ['xstate']
const NODE_PACKAGES = ['ws', 'level', 'classic-level']

/** Files that run in a browser too, as globs for ESLint; `NODE_ONLY` are the exceptions among them. */
export const PORTABLE = [
  'src/{errors,options}.ts',
  'src/{machines,actors,transport,storage,state-machines,client,testing}/**/*.ts',
]
export const NODE_ONLY = [
  'src/actors/clock.ts',
  'src/transport/websocket{*.ts,/**/*.ts}',
  'src/storage/{level,file,watermark-file}{*.ts,/**/*.ts}',
]
const PORTABLE_PARTS = [
  'errors',
  'options',
  'machines',
  'actors',
  'transport',
  'storage',
  'state-machines',
  'client',
  'testing',
]
const NODE_ONLY_PLACE = /^actors\/clock$|^transport\/websocket|^storage\/(level|file|watermark-file)/

/** @type {import('eslint').Rule.RuleModule} */
export const importDirections = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      outside: '{{from}} may not reach {{specifier}}, which lies outside src.',
      direction: '{{from}} may not import {{to}}: imports point downwards only (ARCHITECTURE.md).',
      unplaced: '{{from}} has no place in the house: give it one in scripts/eslint-import-directions.mjs.',
      inspector: 'The inspector sees what users could import, and {{to}} is not public.',
      package: 'The machines import {{allowed}} and themselves, not {{specifier}}.',
      nodeOnly: '{{from}} runs in a browser too, and {{specifier}} does not: pass it in through a port.',
    },
  },
  create(context) {
    const place = placeOf(context.filename)
    const check = (node, specifierNode, typesOnly) => {
      if (typeof specifierNode?.value !== 'string') return
      const fault = faultOf(place, context.filename, specifierNode.value, typesOnly)
      if (fault !== undefined) context.report({ node, ...fault })
    }
    return {
      ImportDeclaration: (node) => check(node, node.source, isTypesOnly(node, 'importKind')),
      ExportNamedDeclaration: (node) => check(node, node.source, isTypesOnly(node, 'exportKind')),
      ExportAllDeclaration: (node) => check(node, node.source, node.exportKind === 'type'),
      ImportExpression: (node) => check(node, node.source, false),
      TSImportType: (node) => check(node, node.source ?? node.argument, true),
    }
  },
}

function isTypesOnly(node, kind) {
  if (node[kind] === 'type') return true
  return node.specifiers.length > 0 && node.specifiers.every((specifier) => specifier[kind] === 'type')
}

function faultOf(place, filename, specifier, typesOnly) {
  const from = partOf(place)
  if (!(from in MAY_IMPORT)) return { messageId: 'unplaced', data: { from: `src/${place}` } }
  if (!specifier.startsWith('.')) return faultOfPackage(place, from, specifier)
  const target = placeOf(resolve(dirname(filename), specifier))
  if (target.startsWith('..')) return { messageId: 'outside', data: { from, specifier } }
  const to = partOf(target)
  if (from === to) return faultOfPortability(place, target, specifier, typesOnly)
  if (from === 'inspector') {
    return PUBLIC_ENTRIES.includes(target) ? undefined : { messageId: 'inspector', data: { to: `src/${target}` } }
  }
  if (!MAY_IMPORT[from].includes(to)) return { messageId: 'direction', data: { from, to } }
  return faultOfPortability(place, target, specifier, typesOnly)
}

function faultOfPackage(place, from, specifier) {
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  if (from === 'machines' && !PACKAGES_OF_MACHINES.includes(name)) {
    return { messageId: 'package', data: { allowed: PACKAGES_OF_MACHINES.join(', '), specifier } }
  }
  const refused = isPortable(place) && (isBuiltin(specifier) || NODE_PACKAGES.includes(name))
  return refused ? { messageId: 'nodeOnly', data: { from: `src/${place}`, specifier } } : undefined
}

function faultOfPortability(place, target, specifier, typesOnly) {
  const refused = !typesOnly && isPortable(place) && NODE_ONLY_PLACE.test(target)
  return refused ? { messageId: 'nodeOnly', data: { from: `src/${place}`, specifier } } : undefined
}

/** Its path under src, without the extension. */
function placeOf(path) {
  return relative(source, path)
    .split(sep)
    .join('/')
    .replace(/\.[jt]s$/, '')
}

/** The engine is one part in several files, `engine-…`. */
function partOf(place) {
  return place.split('/')[0].replace(/^engine-.*/, 'engine')
}

function isPortable(place) {
  return PORTABLE_PARTS.includes(partOf(place)) && !NODE_ONLY_PLACE.test(place)
}
