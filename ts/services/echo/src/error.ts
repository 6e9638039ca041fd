import { type ErrorMap, Status, StatusError } from "@uait/kit";

/** Every way in which this service's own rules can be broken, with what is told of it. */
export type EchoFailure = { readonly kind: "missing"; readonly name: string };

/** The error of this service's domain. */
export class EchoError extends Error {
  readonly failure: EchoFailure;

  constructor(failure: EchoFailure) {
    super(failure.kind);
    this.name = "EchoError";
    this.failure = failure;
  }
}

// One entry a kind: a new kind without an entry does not compile.
const STATUSES: { [Kind in EchoFailure["kind"]]: (failure: Extract<EchoFailure, { kind: Kind }>) => StatusError } = {
  missing: ({ name }) =>
    StatusError.of({
      code: Status.NOT_FOUND,
      reason: "RESOURCE_NOT_FOUND",
      message: `no echo named ${JSON.stringify(name)}`,
      metadata: { resource: "echo", name },
    }),
};

/** The gRPC code and reason of each error; `undefined` for errors that are not this service's own. */
export const toStatus: ErrorMap = (error) =>
  error instanceof EchoError ? STATUSES[error.failure.kind](error.failure) : undefined;
