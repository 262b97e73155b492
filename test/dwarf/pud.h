/* For sample.c: a type of another file. */
typedef struct { unsigned long pud; } pud_t;
