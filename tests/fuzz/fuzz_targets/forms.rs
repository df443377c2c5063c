#![no_main]

trunkline_fuzz::target!(forms);
