/* Killing a server at a chosen point of its work. */
#pragma once

#include <stdint.h>

void faults_prepare(void);        /* before it is forked */
void faults_install(void);        /* in it, before its threads start */
void faults_arm(uint64_t points); /* from outside: it dies at the n-th point from now on; 0: not at all */
