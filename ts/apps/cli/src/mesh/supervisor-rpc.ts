import { request } from "node:http";

/** One value of a struct that supervisord answers with, as text. */
type Struct = ReadonlyMap<string, string>;

/** supervisord refused a call; `code` is one of supervisor.xmlrpc's Faults. */
export class SupervisorFault extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = "SupervisorFault";
    this.code = code;
  }
}

/**
 * Calls a method of supervisord's XML-RPC interface (http://supervisord.org/api.html) at its socket and returns the structs of
 * the answer: one for a process's facts, several for a list, none for a plain value. supervisorctl does the same, after it has
 * loaded Python for a tenth of a second.
 *
 * @throws SupervisorFault when it refuses; the socket's error when nobody listens
 */
export async function callSupervisor(
  socket: string,
  method: string,
  params: readonly string[],
  signal: AbortSignal,
): Promise<Struct[]> {
  const answer = await post(socket, methodCall(method, params), signal);
  const structs = [...answer.matchAll(STRUCT)].map(([, members = ""]) => structOf(members));
  if (!answer.includes("<fault>")) return structs;
  const fault = structs[0];
  throw new SupervisorFault(Number(fault?.get("faultCode")), fault?.get("faultString") ?? answer);
}

// No struct of supervisord's holds another.
const STRUCT = /<struct>(.*?)<\/struct>/gs;
const MEMBER = /<name>(.*?)<\/name>\s*<value>\s*<(?:string|int|boolean)>(.*?)<\//gs;
const ENTITIES: Readonly<Record<string, string>> = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

function structOf(members: string): Struct {
  return new Map([...members.matchAll(MEMBER)].map(([, name = "", value = ""]) => [name, unescaped(value)]));
}

function methodCall(method: string, params: readonly string[]): string {
  const values = params.map((param) => `<param><value><string>${escaped(param)}</string></value></param>`).join("");
  return `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${values}</params></methodCall>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function unescaped(text: string): string {
  return text.replace(/&(?:lt|gt|amp);/g, (entity) => ENTITIES[entity] ?? entity);
}

function post(socketPath: string, body: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "text/xml", "content-length": Buffer.byteLength(body) };
    const call = request({ socketPath, path: "/RPC2", method: "POST", headers, signal, agent: false }, (response) => {
      const chunks: string[] = [];
      response.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        if (response.statusCode === 200) resolve(chunks.join(""));
        else reject(new Error(`supervisord answers ${response.statusCode}`));
      });
    });
    call.once("error", reject);
    call.end(body);
  });
}
