/* lab.h - dtls-lab's commands: each gets what follows its name on the command line, after argv[0], the program's name,
 * and returns the program's exit status. */
#ifndef LAB_H
#define LAB_H

int lab_sweep(int argc, char **argv);
int lab_trace(int argc, char **argv);
int lab_masks(int argc, char **argv);
int lab_growth(int argc, char **argv);
int lab_wire(int argc, char **argv);

#endif
