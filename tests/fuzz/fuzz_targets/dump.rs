#![no_main]

trunkline_fuzz::target!(dump);
