import { createHash } from "node:crypto";
import type { Agent } from "./agent.js";
import { SelectionError } from "./error.js";
import { type Candidates, ParameterSet } from "./vocabulary.js";

/** A model that can be chosen; the empty name leaves the choice to the router. */
export interface CandidateModel {
  readonly name: string;
  /** Whether its tokens have a price; `undefined` when that is not known. */
  readonly free: boolean | undefined;
}

/** An agent with a model: what is chosen. */
export interface Candidate {
  readonly agent: string;
  readonly armId: string;
  readonly parameters: ParameterSet;
}

export interface CandidateOptions {
  readonly agents: readonly Agent[];
  /** The models that answer now; `undefined` when nobody knows. */
  readonly models: readonly CandidateModel[] | undefined;
  readonly wanted: Candidates | undefined;
}

/** Every agent that is wanted, with every model. @throws SelectionError when there is none */
export function candidatesOf({ agents, models, wanted }: CandidateOptions): Candidate[] {
  const fitting = wantedAgents(agents, wanted);
  return fitting.flatMap((agent) =>
    wantedModels(models, wanted?.models ?? []).map((model) => candidateOf(agent, model)),
  );
}

function wantedAgents(agents: readonly Agent[], wanted: Candidates | undefined): readonly Agent[] {
  const { agents: names = [], skills = [] } = wanted ?? {};
  const named = agents.filter(({ name }) => names.length === 0 || names.includes(name));
  if (named.length === 0)
    throw new SelectionError({ kind: "no_candidate", requirement: `agent ${names.join(" or ")}` });
  const skilled = named.filter((agent) => skills.every((skill) => agent.skills.includes(skill)));
  if (skilled.length === 0)
    throw new SelectionError({ kind: "no_candidate", requirement: `skills ${skills.join(" and ")}` });
  return skilled;
}

function wantedModels(models: readonly CandidateModel[] | undefined, names: readonly string[]): readonly string[] {
  if (models === undefined) return names.length === 0 ? [""] : names;
  const available = models.map(({ name }) => name).filter((name) => names.length === 0 || names.includes(name));
  if (available.length > 0) return available;
  const requirement = names.length === 0 ? "an available model" : `an available model of ${names.join(", ")}`;
  throw new SelectionError({ kind: "no_candidate", requirement });
}

function candidateOf({ name, prompt }: Agent, model: string): Candidate {
  const parameters: ParameterSet = { model, prompt, sampling: undefined, extra: {} };
  return { agent: name, armId: armIdOf(parameters), parameters };
}

/**
 * The id that intelligent-parameter derives of a set without sampling and extra, for when it cannot be asked: the first 128
 * bits of the SHA-256 of the length-delimited encoding (rust/services/intelligent-parameter/src/handler/arm.rs).
 */
export function armIdOf({ model, prompt }: Pick<ParameterSet, "model" | "prompt">): string {
  const body = ParameterSet.encode({ model, prompt, sampling: undefined, extra: {} }).finish();
  return createHash("sha256").update(lengthOf(body.byteLength)).update(body).digest("hex").slice(0, 32);
}

// A base-128 varint, as before every length-delimited message.
function lengthOf(length: number): Uint8Array {
  const bytes: number[] = [];
  for (let left = length; ; left >>>= 7) {
    if (left < 128) return Uint8Array.from([...bytes, left]);
    bytes.push((left & 127) | 128);
  }
}

/**
 * The candidates in an order drawn uniformly from all orders: the same seed gives the same one on any machine, whatever
 * order they come in.
 */
export function shuffled(candidates: readonly Candidate[], seed: bigint): Candidate[] {
  const keyed = candidates.map((candidate) => ({
    candidate,
    key: createHash("sha256").update(`${seed}/${candidate.armId}`).digest("hex"),
  }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ candidate }) => candidate);
}
