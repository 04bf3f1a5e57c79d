/** Limits of pipelines and products, apart from their schemas so that a reader of a number needs no typebox. */

/** Bytes of one command, and blocks of one pipeline. */
export const COMMAND_BYTES_MAX = 65_536;
export const BLOCKS_MAX = 64;

/** Limits of one attempt's products; exceeding one fails the attempt with OutputTooLarge. */
export const OUTPUT_FILES_MAX = 10_000;
export const OUTPUT_BYTES_MAX = 10 * 2 ** 30;
export const PATCH_BYTES_MAX = 2 ** 30;
/** New files and directories of one patch; what an ignore rule hides by its own name counts, what is inside of a hidden directory does not. */
export const PATCH_NEW_FILES_MAX = 250_000;
export const OUTPUT_JSON_BYTES_MAX = 8 * 2 ** 20;
/** One product on a store that is not mounted: what one form can write. */
export const OBJECT_BYTES_MAX = 5 * 2 ** 30;
/** Bytes of an output path, and directories on it. */
export const OUTPUT_PATH_BYTES_MAX = 1024;
export const OUTPUT_DEPTH_MAX = 32;

/** Files of one capability, and their bytes together. */
export const CAPABILITY_FILES_MAX = 1000;
export const CAPABILITY_BYTES_MAX = 8 * 2 ** 20;
/** Characters of a system prompt, of a prompt template, and of the prompt that it makes. */
export const PROMPT_CHARS_MAX = 262_144;

/** Bytes of a JSON Schema in a shape, and how deep it nests; outputs that a shape gives a type to. */
export const SCHEMA_BYTES_MAX = 65_536;
export const SCHEMA_DEPTH_MAX = 32;
export const OUTPUT_TYPES_MAX = 200;
/** Bytes of `.pangolin/output.json`, and what is in it. */
export const BLOCK_OUTPUT_BYTES_MAX = 2 ** 20;
export const SUMMARY_CHARS_MAX = 65_536;
export const INTENTS_MAX = 100;
export const SIGNALS_MAX = 100;

/** Bytes of `.pangolin/needs_input.json`, and what is in it; characters of an answer. */
export const NEEDS_INPUT_BYTES_MAX = 2 ** 20;
export const QUESTION_CHARS_MAX = 8192;
export const OPTIONS_MAX = 50;
export const OPTION_CHARS_MAX = 1000;
export const ANSWER_CHARS_MAX = 65_536;
