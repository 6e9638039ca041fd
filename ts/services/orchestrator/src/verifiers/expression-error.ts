/** An expression of the caller's that is not well-formed: a JSON Schema, a regular expression or a program. */
export class ExpressionError extends Error {
  readonly kind: string;
  /** Where in it, such as a line; empty when not known. */
  readonly position: string;

  constructor(kind: string, message: string, position = "") {
    super(message);
    this.name = "ExpressionError";
    this.kind = kind;
    this.position = position;
  }
}
