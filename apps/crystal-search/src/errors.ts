/** Something is wrong with what the program was given, and one line says what. */
export class InputError extends Error {}
