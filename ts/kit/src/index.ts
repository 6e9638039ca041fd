export { answerIn, askBy, MODEL_PROMPTS, type ModelPrompt } from "./agent-prompt.js";
export { type Bucket, type BucketEntry, type BucketOptions, type BucketWrite, MemoryBucket } from "./bucket.js";
export {
  type CatalogueDefaults,
  type Environment,
  integerVariable,
  type KitConfig,
  loadConfig,
  readVariable,
  type TlsConfig,
  textVariable,
  type Variable,
  wordVariable,
} from "./config.js";
export { dial, type Mesh, type MeshCallOptions, type MeshClient } from "./dial.js";
export { durationToMillis, millisToDuration } from "./duration.js";
export { RecentIds } from "./event-consumer.js";
export type { ReadOptions } from "./event-read.js";
export {
  type EventContext,
  type EventHandler,
  type EventLog,
  type EventPayload,
  type Events,
  openEvents,
  type PublishedEvent,
  type PublishOptions,
} from "./events.js";
export { checkHealth, type HealthAnswer } from "./health-client.js";
export type { HttpHandler } from "./http.js";
export {
  fingerprintOf,
  Idempotency,
  type IdempotencyOptions,
  type RepeatableCall,
  type WorkContext,
} from "./idempotency.js";
export { type Identity, readIdentity, tenantMissing } from "./identity.js";
export { type LogFields, Logger } from "./log.js";
export { type Page, type PageOptions, type PageRequest, pageOf } from "./page.js";
export { type RunningServer, type ServeOptions, serve } from "./serve.js";
export { type BoundService, type KitContext, type ServerCallContext, service } from "./service.js";
export { StartError } from "./start-error.js";
export {
  cancelled,
  deadlineExceeded,
  dependencyUnavailable,
  type ErrorCode,
  type ErrorMap,
  type FieldViolation,
  notImplemented,
  type ReasonName,
  requestIdReused,
  Status,
  StatusError,
  toStatusError,
} from "./status.js";
export type { SurroundingState, Surroundings } from "./surroundings.js";
export { readTraceParent, type Span, type SpanContext, SpanKind, startTelemetry, type Telemetry } from "./telemetry.js";
export { fieldInvalid } from "./validate.js";
