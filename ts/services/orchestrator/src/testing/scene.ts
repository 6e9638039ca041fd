import type { RunRequest, RunResponse } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { Status, StatusError } from "@uait/kit";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { Runs } from "../runs.js";
import { MeshStub } from "./mesh.js";
import { as, collect, type ServiceUnderTest, startService, type task } from "./service.js";

/** The service with its neighbours, started once for a file and the neighbours as in the beginning before each test. */
export class Scene {
  #mesh: MeshStub | undefined;
  #service: ServiceUnderTest | undefined;

  constructor() {
    beforeAll(async () => {
      this.#mesh = await MeshStub.start();
      this.#service = await startService(this.#mesh);
    });
    afterAll(async () => {
      await this.#service?.stop();
      await this.#mesh?.stop();
    });
    beforeEach(() => this.mesh.reset());
  }

  get mesh(): MeshStub {
    if (this.#mesh === undefined) throw new Error("the neighbours have not started");
    return this.#mesh;
  }

  get service(): ServiceUnderTest {
    if (this.#service === undefined) throw new Error("the service has not started");
    return this.#service;
  }

  /** All events of a run. */
  run(request: ReturnType<typeof task>, tenant = "acme"): Promise<RunResponse[]> {
    return collect(this.service.client.run(request, as(tenant)));
  }
}

export const idOf = ({ requestId = "" }: Partial<Pick<RunRequest, "requestId">>, tenant = "acme"): string =>
  Runs.idOf(tenant, requestId);

export function unavailable(): StatusError {
  return StatusError.of({ code: Status.UNAVAILABLE, reason: "MODEL_UNAVAILABLE", message: "not yet" });
}

/** A promise that only the signal ends. */
export function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
