//! The commands.

pub mod check;
pub mod demo;
mod demo_rest;
mod demo_script;
mod demo_setting;
