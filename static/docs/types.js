/** The parts of an OpenAPI document that this page reads.
 *
 * @typedef {{
 *   $ref?: string, type?: string, title?: string, description?: string, format?: string, pattern?: string,
 *   enum?: unknown[], const?: unknown, default?: unknown, examples?: unknown[],
 *   anyOf?: Schema[], items?: Schema, properties?: Record<string, Schema>, required?: string[],
 *   minimum?: number, maximum?: number, exclusiveMinimum?: number, minLength?: number, maxLength?: number,
 *   minItems?: number, maxItems?: number,
 * }} Schema
 * @typedef {{ name: string, in: string, required?: boolean, description?: string, schema?: Schema }} Parameter
 * @typedef {{ description: string, content?: Record<string, { schema?: Schema }> }} Answer
 * @typedef {{
 *   summary?: string, description?: string, tags?: string[], parameters?: Parameter[],
 *   requestBody?: { content: Record<string, { schema?: Schema }> }, responses: Record<string, Answer>,
 * }} Operation
 * @typedef {{
 *   info: { title: string, description?: string }, paths: Record<string, Record<string, Operation>>,
 *   components?: { schemas?: Record<string, Schema> },
 * }} Document
 * @typedef {{ id: string, method: string, path: string, operation: Operation }} Route
 * @typedef {{ tag: string, routes: Route[] }} Group
 */

export {};
