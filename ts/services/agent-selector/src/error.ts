import { type ErrorMap, Status, StatusError } from "@uait/kit";

/** Every way in which this service's own rules can be broken, with what is told of it. */
export type SelectionFailure =
  | { readonly kind: "no_candidate"; readonly requirement: string }
  | { readonly kind: "selection_missing"; readonly selectionId: string }
  | { readonly kind: "not_selected"; readonly agent: string; readonly armId: string }
  | { readonly kind: "budget_exhausted"; readonly budget: string; readonly limit: string };

/** The error of this service's domain. */
export class SelectionError extends Error {
  readonly failure: SelectionFailure;

  constructor(failure: SelectionFailure) {
    super(failure.kind);
    this.name = "SelectionError";
    this.failure = failure;
  }
}

// One entry a kind: a new kind without an entry does not compile.
const STATUSES: {
  [Kind in SelectionFailure["kind"]]: (failure: Extract<SelectionFailure, { kind: Kind }>) => StatusError;
} = {
  no_candidate: ({ requirement }) =>
    StatusError.of({
      code: Status.FAILED_PRECONDITION,
      reason: "NO_CANDIDATE",
      message: `no agent to choose: ${requirement}`,
      metadata: { requirement },
    }),
  selection_missing: ({ selectionId }) =>
    StatusError.of({
      code: Status.NOT_FOUND,
      reason: "RESOURCE_NOT_FOUND",
      message: `no selection ${selectionId} within the last day`,
      metadata: { resource: "selection", name: selectionId },
    }),
  not_selected: ({ agent, armId }) =>
    StatusError.of({
      code: Status.INVALID_ARGUMENT,
      reason: "VALUE_CONFLICT",
      message: `arm_id: the selection has no choice of agent ${agent} with arm ${armId}`,
      metadata: { field: "arm_id" },
    }),
  budget_exhausted: ({ budget, limit }) =>
    StatusError.of({
      code: Status.RESOURCE_EXHAUSTED,
      reason: "BUDGET_EXHAUSTED",
      message: `the budget ended before an agent had answered: ${budget} ${limit}`,
      metadata: { budget, limit },
    }),
};

/** The gRPC code and reason of each error; `undefined` for errors that are not this service's own. */
export const toStatus: ErrorMap = (error) =>
  error instanceof SelectionError ? STATUSES[error.failure.kind](error.failure as never) : undefined;
