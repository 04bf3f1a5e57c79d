/** Schema fragments that several documents share. */
import Type, { type Static, type TSchema } from 'typebox';
import { reasons, type Reason } from './reasons.ts';

export const closed = { additionalProperties: false } as const;

/** SHA-256, 64 lower-case hexadecimal characters. */
export const Hex = Type.String({ pattern: '^[0-9a-f]{64}$' });
/** Bytes, or a count. */
export const Size = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** RFC 3339 in UTC with milliseconds. */
export const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });
/** One of a closed list of words. */
export const OneOf = <T extends string>(...words: readonly T[]) => Type.Unsafe<T>(Type.String({ enum: [...words] }));
export const ReasonName = OneOf(...(Object.keys(reasons) as Reason[]));
/** A map whose every value is checked. `Type.Record(Type.String(), …)` skips keys that hold a line end. */
export const EveryKey = <T extends TSchema>(value: T) =>
  Type.Unsafe<Record<string, Static<T>>>(Type.Object({}, { additionalProperties: value }));
/** A map of anything. */
export const Anything = Type.Unsafe<Record<string, unknown>>(Type.Object({}));

export const ProductRef = Type.Object({ sha256: Hex, size: Size }, closed);
export type ProductRef = Static<typeof ProductRef>;

/** What we write and others read: nobody changes it. */
export type Frozen<T> = T extends readonly (infer E)[]
  ? readonly Frozen<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Frozen<T[K]> }
    : T;
