//! Every word of the window, in every language it speaks. Views have no text of their own.
//!
//! The language is a property of the thread that draws: [`speak`] sets it once a frame from the settings, [`words`]
//! reads it. `{0}`, `{1}` stand for what [`fill`] puts in. Details of damaged files and errors of
//! training stay English.

use std::cell::Cell;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// A language of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Deutsch.
    German,
}

impl Language {
    /// In menu order.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its name in itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// Its words.
    pub fn words(self) -> &'static Strings {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
}

thread_local! {
    static SPOKEN: Cell<Language> = const { Cell::new(Language::English) };
}

/// The window of this thread speaks this language from now on.
pub fn speak(language: Language) {
    SPOKEN.set(language);
}

/// The words of the language spoken.
pub fn words() -> &'static Strings {
    SPOKEN.get().words()
}

/// A text with `{0}`, `{1}`… replaced.
pub fn fill(text: &str, values: &[&dyn Display]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let digits = from.get(1..).unwrap_or_default();
        let end = digits.find('}').unwrap_or(digits.len());
        let number: Option<usize> = digits.get(..end).and_then(|digits| digits.parse().ok());
        if let Some(value) = number.and_then(|number| values.get(number)) {
            filled.push_str(&value.to_string());
        }
        rest = digits.get(end + 1..).unwrap_or_default();
    }
    filled.push_str(rest);
    filled
}

macro_rules! strings {
    ($($name:ident: $english:literal, $german:literal;)*) => {
        /// Every text, in one language.
        #[derive(Debug)]
        pub struct Strings {
            $(#[doc = concat!("“", $english, "”")] pub $name: &'static str,)*
        }

        /// English.
        pub static ENGLISH: Strings = Strings { $($name: $english,)* };

        /// Deutsch.
        pub static GERMAN: Strings = Strings { $($name: $german,)* };

        /// Name, English and German of each text, for tests.
        pub const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $german),)*];
    };
}

strings! {
    // The frame of the window
    program: "HealthGPT Workbench", "HealthGPT Workbench";
    research_notice: "Research use only. Not for diagnosis. AI answers and images can be wrong.", "Nur für die Forschung. Nicht zur Diagnose. Antworten und Bilder der KI können falsch sein.";
    untrained_warning: "Warning: untrained test model. Its answers and images are noise and say nothing about the patient", "Achtung: untrainiertes Testmodell. Seine Antworten und Bilder sind Rauschen und sagen nichts über den Patienten";
    model_failed: "The model could not be loaded: {0}", "Das Modell konnte nicht geladen werden: {0}";
    no_model: "No model is loaded", "Kein Modell geladen";
    loading_model: "Loading the model…", "Modell wird geladen…";
    load_model: "Load model…", "Modell laden…";
    keys: "Keys", "Tasten";
    settings: "Settings", "Einstellungen";
    variant: "Variant", "Variante";
    details: "details", "Details";
    model_facts: "Licence {0}; {1} tokens of context; {2} tokens a picture; loaded in {3} s", "Lizenz {0}; {1} Token Kontext; {2} Token je Bild; geladen in {3} s";
    device_choosing: "Device: being chosen…", "Gerät: wird gewählt…";
    device: "Device: {0} – {1}", "Gerät: {0} – {1}";
    memory: "Memory {0}", "Speicher {0}";
    mib: "{0} MiB", "{0} MiB";
    gib: "{0} GiB", "{0} GiB";
    memory_volumes: "volumes {0}", "Volumen {0}";
    memory_model: "model {0}", "Modell {0}";
    gpu_lost: "The GPU stopped answering ({0}). The study, the questions and the answers are still here; the model is loaded again.", "Die GPU antwortet nicht mehr ({0}). Studie, Fragen und Antworten sind noch da; das Modell wird neu geladen.";
    window_gpu_lost: "The GPU that draws the window was lost ({0}); the window was opened again, and everything is still here.", "Die GPU, die das Fenster zeichnet, ging verloren ({0}); das Fenster wurde neu geöffnet, und alles ist noch da.";
    window_gpu_lost_for_good: "the GPU that draws the window was lost while it drew ({0}); start the program again, which offers to restore what was open", "die GPU, die das Fenster zeichnet, ging beim Zeichnen verloren ({0}); starten Sie das Programm neu, es bietet an, den Stand wiederherzustellen";
    no_device: "No device: {0}", "Kein Gerät: {0}";
    stop: "Stop", "Stopp";
    stop_job: "Stop: {0}", "Stopp: {0}";
    stopping: "Stopping…", "Wird gestoppt…";
    progress: "{0} {1} of {2}{3}", "{0} {1} von {2}{3}";
    time_left: ", about {0} s left", ", noch etwa {0} s";
    close: "Close", "Schließen";
    cancel: "Cancel", "Abbrechen";
    drop_here: "Drop to open these scans", "Ablegen, um diese Aufnahmen zu öffnen";
    // Work under way
    job_scan: "Looking for scans", "Aufnahmen werden gesucht";
    job_restore: "Restoring the session", "Sitzung wird wiederhergestellt";
    job_series: "Opening series", "Serie wird geöffnet";
    job_thumbnails: "Drawing thumbnails", "Vorschaubilder werden gezeichnet";
    job_model: "Loading model", "Modell wird geladen";
    job_train: "Training", "Training läuft";
    job_ask: "Answering", "Antwort wird erstellt";
    stage_headers: "reading headers", "Header gelesen:";
    stage_slices: "reading slices", "Schichten gelesen:";
    stage_thumbnails: "thumbnails", "Vorschaubilder:";
    stage_tokens: "image tokens", "Bild-Token";
    scan_stopped: "Looking for scans was stopped", "Die Suche nach Aufnahmen wurde gestoppt";
    saved_picture: "Saved, with its provenance beside it: {0}", "Gespeichert, mit der Herkunft daneben: {0}";
    not_saved: "The picture could not be saved: {0}", "Das Bild konnte nicht gespeichert werden: {0}";
    no_chooser: "The system shows no file chooser; install xdg-desktop-portal or zenity, or {0}", "Das System zeigt keinen Dateidialog; installieren Sie xdg-desktop-portal oder zenity, oder {0}";
    instead_type: "type the path on the left, or drop the files on the window", "geben Sie links den Pfad ein oder legen Sie die Dateien auf dem Fenster ab";
    instead_restart: "start the program with --model FOLDER", "starten Sie das Programm mit --model ORDNER";
    instead_generate: "use workbench generate --out FILE.png", "nutzen Sie workbench generate --out DATEI.png";
    choose_folder_title: "Open a folder of scans", "Ordner mit Aufnahmen öffnen";
    choose_files_title: "Open scans or pictures", "Aufnahmen oder Bilder öffnen";
    choose_model_title: "Load a model folder", "Modellordner laden";
    save_picture_title: "Save the synthetic picture", "Synthetisches Bild speichern";
    png_picture: "PNG picture", "PNG-Bild";
    // Studies and series
    no_scans: "No scans are open. Open a folder or a file, or drop them on the window.", "Keine Aufnahmen geöffnet. Öffnen Sie einen Ordner oder eine Datei, oder legen Sie sie auf dem Fenster ab.";
    open_folder: "Open folder…", "Ordner öffnen…";
    open_file: "Open file…", "Datei öffnen…";
    path: "Path", "Pfad";
    path_hint: "or type a path and press Enter", "oder Pfad eingeben und Enter drücken";
    recent: "Recent", "Zuletzt geöffnet";
    unnamed_study: "Unnamed study", "Unbenannte Studie";
    no_description: "No description", "Ohne Beschreibung";
    picture_kind: "Picture", "Bild";
    volume_kind: "Volume", "Volumen";
    series_number: "series {0}", "Serie {0}";
    note: "Note: {0}", "Hinweis: {0}";
    one_file_hidden: "1 file is not shown", "1 Datei wird nicht gezeigt";
    files_hidden: "{0} files are not shown", "{0} Dateien werden nicht gezeigt";
    and_more: "and {0} more", "und {0} weitere";
    // Making images
    make_image: "Make an image", "Bild erzeugen";
    task_failed: "{0} failed: {1}", "{0} fehlgeschlagen: {1}";
    task_ask: "Ask", "Fragen";
    task_reconstruct: "Reconstruct", "Rekonstruieren";
    task_ct2mri: "CT → MRI", "CT → MRT";
    task_mri2ct: "MRI → CT", "MRT → CT";
    task_sr4: "Super-resolution ×4", "Superauflösung ×4";
    hint_comprehend: "an answer", "eine Antwort";
    hint_reconstruct: "the same picture, through the model's image codes", "dasselbe Bild, durch die Bildcodes des Modells";
    hint_ct2mri: "an MRI-like picture of this CT slice", "ein MRT-ähnliches Bild dieser CT-Schicht";
    hint_mri2ct: "a CT-like picture of this MRI slice", "ein CT-ähnliches Bild dieser MRT-Schicht";
    hint_sr4: "the picture at four times the resolution", "das Bild in vierfacher Auflösung";
    trained_on: "{0}; trained on {1} scans only", "{0}; nur mit Aufnahmen dieser Region trainiert: {1}";
    // Why something cannot be done now
    why_no_model: "no model is loaded; load one first", "kein Modell geladen; laden Sie zuerst eines";
    why_model_loading: "the model is still loading", "das Modell wird noch geladen";
    why_model_failed: "the model could not be loaded; load another one", "das Modell konnte nicht geladen werden; laden Sie ein anderes";
    why_no_question: "type a question first", "geben Sie zuerst eine Frage ein";
    why_series_loading: "the series is still loading", "die Serie wird noch geladen";
    why_no_series: "open a series or a picture first", "öffnen Sie zuerst eine Serie oder ein Bild";
    why_busy: "the model is busy ({0}); wait, or stop it", "das Modell ist beschäftigt ({0}); warten Sie oder stoppen Sie es";
    why_no_plugin: "the loaded model ({0}) has no plug-in for {1}", "das geladene Modell ({0}) hat kein Plug-in für {1}";
    why_modality: "{0} starts from {1}, but this series is {2}; choose another series", "{0} geht von {1} aus, diese Serie ist aber {2}; wählen Sie eine andere Serie";
    // Questions and answers
    ask_title: "Ask a question", "Frage stellen";
    new_conversation: "New conversation", "Neues Gespräch";
    nothing_asked: "Nothing was asked yet", "Es wurde noch nichts gefragt";
    chat_hint: "Answers appear here. Without a picture, the model answers from its text alone.", "Hier erscheinen die Antworten. Ohne Bild antwortet das Modell nur aus seinem Text.";
    show_picture: "Show this picture", "Dieses Bild zeigen";
    without_picture: "without a picture", "ohne Bild";
    edit: "Edit", "Bearbeiten";
    edit_hint: "Put this question back into the field", "Diese Frage zurück ins Feld holen";
    follows_one: "follows 1 earlier question", "folgt auf 1 frühere Frage";
    follows: "follows {0} earlier questions", "folgt auf {0} frühere Fragen";
    looking: "Looking and reading…", "Bild und Text werden gelesen…";
    empty_answer: "The answer is empty", "Die Antwort ist leer";
    cut_at_limit: " · cut at the token limit", " · am Token-Limit abgeschnitten";
    was_stopped: " · stopped", " · gestoppt";
    answer_numbers: "{0} tokens/s · first token after {1} s · {2} tokens of prompt, {3} of answer{4}", "{0} Token/s · erstes Token nach {1} s · {2} Token Prompt, {3} Token Antwort{4}";
    stopped: "stopped", "gestoppt";
    no_answer: "No answer: {0}", "Keine Antwort: {0}";
    copy: "Copy", "Kopieren";
    copy_hint: "Copy this answer", "Diese Antwort kopieren";
    with_picture: "With picture", "Mit Bild";
    with_picture_hint: "Without it, the model gets only the text", "Sonst bekommt das Modell nur den Text";
    remove_picture: "Remove {0}", "{0} entfernen";
    take_out: "Take it out", "Herausnehmen";
    add_slice: "Add this slice", "Diese Schicht hinzufügen";
    add_slice_hint: "Ask about several pictures at once; HealthGPT was trained on single ones", "Nach mehreren Bildern zugleich fragen; HealthGPT wurde mit einzelnen trainiert";
    already_in: "This picture is already in", "Dieses Bild ist schon dabei";
    question_hint: "Ask about what you see…", "Fragen Sie nach dem, was Sie sehen…";
    question: "Question", "Frage";
    ask: "Ask", "Fragen";
    stop_answer: "Stop answer", "Antwort stoppen";
    stop_answer_hint: "Keep the text so far (Esc)", "Den bisherigen Text behalten (Esc)";
    enter_sends: "Enter sends, Shift+Enter starts a new line", "Enter sendet, Umschalt+Enter beginnt eine neue Zeile";
    context_advice: " – start a new conversation soon", " – beginnen Sie bald ein neues Gespräch";
    context_used: "{0} of {1} tokens{2}", "{0} von {1} Token{2}";
    context_hint: "Context: what prompt, picture and answer took of what the model can hold", "Kontext: was Prompt, Bild und Antwort von dem belegen, was das Modell fassen kann";
    answer_settings: "Settings for answers and images", "Einstellungen für Antworten und Bilder";
    temperature: "Temperature", "Temperatur";
    temperature_hint: "0 always takes the likeliest token", "0 nimmt immer das wahrscheinlichste Token";
    seed: "Seed", "Startwert";
    longest_answer: "Longest answer", "Längste Antwort";
    tokens_suffix: " tokens", " Token";
    slice_picture: "slice {0}, {1}, {2}{3}", "Schicht {0}, {1}, {2}{3}";
    inverted_suffix: ", inverted", ", invertiert";
    frame_picture: "frame {0}, {1}", "Einzelbild {0}, {1}";
    plain_picture: "picture {0}", "Bild {0}";
    // The slice
    plane_axial: "axial", "axial";
    plane_coronal: "coronal", "koronal";
    plane_sagittal: "sagittal", "sagittal";
    axial: "Axial", "Axial";
    coronal: "Coronal", "Koronal";
    sagittal: "Sagittal", "Sagittal";
    nothing_open: "Open a folder, a file or a picture\nto look at it and to ask about it", "Öffnen Sie einen Ordner, eine Datei oder ein Bild,\num es anzusehen und danach zu fragen";
    loading: "Loading {0}…", "{0} wird geladen…";
    cannot_be_shown: "{0} cannot be shown\n\n{1}", "{0} kann nicht gezeigt werden\n\n{1}";
    mouse_help_frames: "Wheel: frame · middle drag: pan · right drag: zoom · double click: large", "Rad: Einzelbild · Mitte ziehen: verschieben · rechts ziehen: Zoom · Doppelklick: groß";
    mouse_help: "Wheel: slice · left drag: {0} · middle drag: pan · right drag: zoom · click: crosshair · double click: large", "Rad: Schicht · links ziehen: {0} · Mitte ziehen: verschieben · rechts ziehen: Zoom · Klick: Fadenkreuz · Doppelklick: groß";
    slice_name: "Slice {0} of {1}, {2}, window {3}{4}", "Schicht {0} von {1}, {2}, Fenster {3}{4}";
    picture_name: "Picture {0}", "Bild {0}";
    frame: "Frame", "Einzelbild";
    frame_of: "Frame {0} of {1}", "Einzelbild {0} von {1}";
    slice_of: "Slice {0} of {1}", "Schicht {0} von {1}";
    slice: "Slice", "Schicht";
    zoom_percent: "Zoom {0} %", "Zoom {0} %";
    slice_corner: "Slice {0} / {1}  {2}", "Schicht {0} / {1}  {2}";
    inverted_corner: "  inverted", "  invertiert";
    picture_size: "{0} × {1} pixels", "{0} × {1} Pixel";
    lossy: "Lossy source", "Verlustbehaftete Quelle";
    error_io: "cannot read ({0}); check that it exists and that you may open it: {1}", "nicht lesbar ({0}); prüfen Sie, ob es existiert und Sie es öffnen dürfen: {1}";
    error_no_images: "no images found ({0} files looked at{1}); choose a folder with DICOM, NIfTI, PNG or JPEG files: {2}", "keine Bilder gefunden ({0} Dateien angesehen{1}); wählen Sie einen Ordner mit DICOM-, NIfTI-, PNG- oder JPEG-Dateien: {2}";
    error_some_damaged: ", {0} damaged", ", {0} beschädigt";
    error_some_unsupported: ", {0} of a kind that is not read", ", {0} von einer Art, die nicht gelesen wird";
    error_damaged: "the file is damaged ({0}); copy it again from its source: {1}", "die Datei ist beschädigt ({0}); kopieren Sie sie noch einmal von ihrer Quelle: {1}";
    error_unsupported: "this program does not read {0}; convert it with the tool that wrote it: {1}", "dieses Programm liest nicht: {0}; wandeln Sie es mit dem Programm um, das es schrieb: {1}";
    error_not_an_image: "the file holds no image ({0}): {1}", "die Datei enthält kein Bild ({0}): {1}";
    error_too_large: "the series needs {0} MiB of memory and {1} MiB are free; close other series or programs: {2}", "die Serie braucht {0} MiB Speicher, {1} MiB sind frei; schließen Sie andere Serien oder Programme: {2}";
    error_no_slice: "there is no slice {0}; the series has slices 1 to {1}", "es gibt keine Schicht {0}; die Serie hat die Schichten 1 bis {1}";
    error_write: "cannot write ({0}); choose another folder: {1}", "nicht schreibbar ({0}); wählen Sie einen anderen Ordner: {1}";
    error_stopped: "stopped", "angehalten";
    error_empty_question: "the question is empty; type what you want to know", "die Frage ist leer; schreiben Sie, was Sie wissen möchten";
    error_prompt_too_long: "the prompt has {0} tokens but the model takes {1}; shorten the question by about {2} tokens, or start a new conversation", "der Prompt hat {0} Tokens, das Modell nimmt {1}; kürzen Sie die Frage um etwa {2} Tokens oder beginnen Sie ein neues Gespräch";
    error_gpu_lost: "the GPU stopped answering ({0}); what was there stays, try again", "die GPU antwortet nicht mehr ({0}); was da war, bleibt, versuchen Sie es noch einmal";
    error_internal: "this is a fault of the program ({0}); please report it, your data is untouched", "das ist ein Fehler des Programms ({0}); bitte melden Sie ihn, Ihre Daten sind unberührt";
    error_engine_gone: "the engine has stopped; restart the program", "die Engine läuft nicht mehr; starten Sie das Programm neu";
    note_split: "split from its series: {0} differs", "von seiner Serie getrennt: {0} weicht ab";
    note_layer: "split from its series: {0} images at each position, this is number {1}", "von seiner Serie getrennt: {0} Bilder an jeder Position, dies ist Nummer {1}";
    note_layer_up_to: "split from its series: up to {0} images at one position, this is number {1}", "von seiner Serie getrennt: bis zu {0} Bilder an einer Position, dies ist Nummer {1}";
    note_no_spacing: "the files do not say how far pixels are apart: no planes across the slices", "die Dateien sagen nicht, wie weit Pixel auseinanderliegen: keine Ebenen quer zu den Schichten";
    note_no_positions: "the files do not say where the slices lie: order by number, no planes across the slices", "die Dateien sagen nicht, wo die Schichten liegen: nach Nummer geordnet, keine Ebenen quer zu den Schichten";
    note_tilted: "the gantry was tilted by {0} degrees: planes across the slices are sheared; patient axes straighten them", "die Gantry war um {0} Grad gekippt: Ebenen quer zu den Schichten sind geschert; Patientenachsen richten sie auf";
    note_shifted: "slices are shifted sideways by up to {0} mm: planes across the slices would be distorted and are off", "Schichten sind seitlich um bis zu {0} mm verschoben: Ebenen quer dazu wären verzerrt und sind aus";
    note_missing: "slices are missing at {0} places: they are {1} mm apart, but up to {2} mm there; planes across the slices would be distorted and are off", "an {0} Stellen fehlen Schichten: sie liegen {1} mm auseinander, dort aber bis zu {2} mm; Ebenen quer dazu wären verzerrt und sind aus";
    note_uneven: "slices are {0} to {1} mm apart: planes across the slices would be distorted and are off", "Schichten liegen {0} bis {1} mm auseinander: Ebenen quer dazu wären verzerrt und sind aus";
    note_cut_short: "the file is cut short: {0} of {1} frames are there, and only these are shown", "die Datei ist unvollständig: {0} von {1} Einzelbildern sind da, nur diese werden gezeigt";
    note_one_of: "{0} volumes in one file: number {1} is shown", "{0} Volumen in einer Datei: gezeigt wird Nummer {1}";
    note_bad_sform: "its sform is no orientation and was not used", "ihr sform ist keine Orientierung und wurde nicht benutzt";
    note_bad_qform: "its qform is no orientation and was not used", "ihr qform ist keine Orientierung und wurde nicht benutzt";
    note_no_sides: "the file does not say where left and right are", "die Datei sagt nicht, wo links und rechts ist";
    note_single_slice: "the series is a single slice, so there is no other plane to cut", "die Serie ist eine einzelne Schicht: es gibt keine andere Ebene";
    differs_size: "image size", "Bildgröße";
    differs_photometric: "photometric interpretation", "photometrische Interpretation";
    differs_orientation: "orientation", "Orientierung";
    differs_spacing: "pixel spacing", "Pixelabstand";
    differs_stack: "stack", "Stapel";
    no_sides: "Sides are unknown: the files do not say how the patient lay", "Seiten unbekannt: die Dateien sagen nicht, wie der Patient lag";
    at_detector: "Lengths are those on the detector: in the patient they are shorter", "Längen gelten am Detektor: im Patienten sind sie kürzer";
    detector_suffix: "{0} at the detector", "{0} am Detektor";
    slice_thickness: "thickness {0} mm", "Dicke {0} mm";
    study_date: "Study {0}", "Studie {0}";
    no_geometry: "No geometry: sides and lengths are unknown", "Keine Geometrie: Seiten und Längen sind unbekannt";
    value_hu: "{0} HU", "{0} HE";
    unit_hu: "HU", "HE";
    value_padding: "padding, no image", "Füllwert, kein Bild";
    value_plain: "value {0}", "Wert {0}";
    voxel_value: "{0}voxel {1}, {2}, {3}   {4}", "{0}Voxel {1}, {2}, {3}   {4}";
    rotated_right: "rotated 90° right", "90° nach rechts gedreht";
    rotated_left: "rotated 90° left", "90° nach links gedreht";
    rotated_half: "rotated 180°", "180° gedreht";
    flipped_h: "flipped horizontally", "horizontal gespiegelt";
    flipped_v: "flipped vertically", "vertikal gespiegelt";
    flipped_right: "flipped horizontally, rotated 90° right", "horizontal gespiegelt, 90° nach rechts gedreht";
    flipped_left: "flipped horizontally, rotated 90° left", "horizontal gespiegelt, 90° nach links gedreht";
    // Viewports
    choose_left: "Choose a series on the left", "Wählen Sie links eine Serie";
    empty_viewport: "Empty viewport", "Leeres Ansichtsfenster";
    failed_viewport: "Failed viewport", "Fehlgeschlagenes Ansichtsfenster";
    numbered: "{0} {1} of {2}", "{0} {1} von {2}";
    viewport_of: "viewport {0} of {1}", "Ansichtsfenster {0} von {1}";
    active: "active", "aktiv";
    cutting: "Computing the slab…", "Schichtstapel wird berechnet…";
    patient_axes: "patient axes", "Patientenachsen";
    patient_axes_suffix: ", patient axes", ", Patientenachsen";
    slice_of_plane: "Slice, {0}", "Schicht, {0}";
    slice_spacing: "{0} × {1}  {2} × {3} mm", "{0} × {1}  {2} × {3} mm";
    cm: "{0} cm", "{0} cm";
    value_raw: "raw {0}   ", "Rohwert {0}   ";
    position: "{0} mm   ", "{0} mm   ";
    slab: "{0} {1} mm", "{0} {1} mm";
    slab_maximum: "MIP", "MIP";
    slab_minimum: "MinIP", "MinIP";
    slab_mean: "Mean", "Mittelwert";
    volume_of: "of {0}", "von {0}";
    volume_hint: "Time point or direction: drag, arrow keys, or click the number and type", "Zeitpunkt oder Richtung: ziehen, Pfeiltasten, oder in die Zahl klicken und tippen";
    mpr: "MPR", "MPR";
    mpr_hint: "Axial, coronal and sagittal beside each other, or one again", "Axial, koronal und sagittal nebeneinander, oder wieder eine";
    layout: "Layout", "Anordnung";
    layout_hint: "One to four viewports", "Ein bis vier Ansichtsfenster";
    one_viewport: "1 viewport", "1 Ansichtsfenster";
    viewports: "{0} viewports", "{0} Ansichtsfenster";
    active_alone: "Active viewport alone", "Nur das aktive Ansichtsfenster";
    crosshair: "Crosshair", "Fadenkreuz";
    no_other_planes: "No other planes: {0}", "Keine anderen Ebenen: {0}";
    why_no_volume: "open a volume first", "öffnen Sie zuerst ein Volumen";
    why_no_patient: "the files do not say how the patient lay", "die Dateien sagen nicht, wie der Patient lag";
    why_straight: "the voxels already lie along the patient's axes", "die Voxel liegen schon entlang der Patientenachsen";
    display: "Display", "Darstellung";
    display_hint: "Colours, slabs (MIP) and axes", "Farben, dicke Schichten (MIP) und Achsen";
    colours: "Colours", "Farben";
    colours_grey: "Grey", "Grau";
    slices: "Slices", "Schichten";
    one_slice: "One slice", "Eine Schicht";
    cut_along: "Cut along", "Schneiden entlang";
    along_voxels: "The voxels", "der Voxel";
    along_patient: "The patient's axes", "der Patientenachsen";
    // Two series
    compare: "Compare", "Vergleichen";
    compare_hint: "Show it beside the open series", "Neben der offenen Serie zeigen";
    compare_with: "Compare with {0}", "Vergleichen mit {0}";
    flicker: "Flicker", "Wechselbild";
    blend: "Blend", "Überblenden";
    difference: "Difference", "Differenz";
    opacity: "Opacity", "Deckkraft";
    window_of: "Window of", "Fenster der";
    window_of_the: "Window of the {0}", "Fenster der {0} Serie";
    window_of_hint: "Left and Right exchange them", "Links und Rechts tauschen sie";
    first: "first", "ersten";
    second: "second", "zweiten";
    linked: "Linked", "Gekoppelt";
    link_scroll_name: "Link scroll", "Blättern koppeln";
    link_zoom_name: "Link zoom", "Zoom koppeln";
    link_window_name: "Link window", "Fenster koppeln";
    link_scroll: "Scroll", "Blättern";
    link_zoom: "Zoom", "Zoom";
    link_window: "Window", "Fenster";
    swiped_with: "swiped with {0} at {1} %", "Vorhang mit {0} bei {1} %";
    in_turn_with: "in turn with {0}", "im Wechsel mit {0}";
    blended_with: "{0} % of {1} over it", "{0} % von {1} darüber";
    less: "less {0}", "weniger {0}";
    blend_corner: "{0} {1} % over {2}", "{0} {1} % über {2}";
    difference_corner: "Orange: {0} brighter\nBlue: {1} brighter", "Orange: {0} heller\nBlau: {1} heller";
    difference_most: "+255 levels", "+255 Stufen";
    // Tools over the slice
    reset: "Reset", "Zurücksetzen";
    reset_hint: "First window, fitted", "Erstes Fenster, eingepasst";
    fit: "Fit", "Einpassen";
    fit_hint: "Fit the picture", "Bild einpassen";
    actual_size: "Zoom 1:1", "Zoom 1:1";
    actual_size_hint: "One pixel of the picture on one pixel of the screen", "Ein Bildpunkt auf einem Bildschirmpunkt";
    flip_h_short: "Flip H", "Spiegeln H";
    flip_v_short: "Flip V", "Spiegeln V";
    rotate_r_short: "Rotate R", "Drehen R";
    rotate_l_short: "Rotate L", "Drehen L";
    flip_h: "Flip horizontally", "Horizontal spiegeln";
    flip_v: "Flip vertically", "Vertikal spiegeln";
    rotate_r: "Rotate right", "Nach rechts drehen";
    rotate_l: "Rotate left", "Nach links drehen";
    turn_hint: "{0}. On screen only: the model's picture stays as it is", "{0}. Nur auf dem Bildschirm: das Bild für das Modell bleibt, wie es ist";
    cine: "Cine", "Cine";
    cine_hint: "Slice after slice", "Schicht für Schicht";
    fps_suffix: " fps", " B/s";
    fps: "Slices a second", "Schichten pro Sekunde";
    own_window: "Own window", "Eigenes Fenster";
    automatic: "Automatic", "Automatisch";
    file_window: "File {0}", "Datei {0}";
    preset_brain: "Brain", "Gehirn";
    preset_abdomen: "Abdomen", "Abdomen";
    preset_mediastinum: "Mediastinum", "Mediastinum";
    preset_bone: "Bone", "Knochen";
    preset_lung: "Lung", "Lunge";
    preset_mip: "MIP", "MIP";
    window_preset: "Window preset {0}", "Fenstervorgabe {0}";
    window_center: "Window center", "Fenstermitte";
    window_width: "Window width", "Fensterbreite";
    center_prefix: "C ", "C ";
    width_prefix: "W ", "W ";
    invert: "Invert", "Invertieren";
    invert_hint: "Exchange black and white", "Schwarz und Weiß tauschen";
    // Tools of the left mouse button, and what they measure
    tool_window: "Window", "Fenster";
    tool_pan: "Pan", "Verschieben";
    tool_zoom: "Zoom", "Zoom";
    tool_length: "Length", "Länge";
    tool_angle: "Angle", "Winkel";
    tool_rectangle: "Rectangle", "Rechteck";
    tool_ellipse: "Ellipse", "Ellipse";
    tool_hint: "{0}: what the left mouse button does. Held down, the key gives it back", "{0}: was die linke Maustaste tut. Gehalten gibt die Taste danach das vorige Werkzeug zurück";
    measurements: "Measurements", "Messungen";
    measurements_hint: "Show or hide what was measured", "Gemessenes zeigen oder verbergen";
    no_measurements: "Nothing is measured yet. Choose Length, Angle, Rectangle or Ellipse and drag on the slice.", "Noch nichts gemessen. Wählen Sie Länge, Winkel, Rechteck oder Ellipse und ziehen Sie auf der Schicht.";
    measurement_name: "{0} {1}: {2}", "{0} {1}: {2}";
    slice_place: "{0}, slice {1}", "{0}, Schicht {1}";
    mm: "{0} mm", "{0} mm";
    pixels: "{0} px", "{0} px";
    degrees: "{0}°", "{0}°";
    mm2: "{0} mm²", "{0} mm²";
    pixels2: "{0} px²", "{0} px²";
    region_short: "mean {0} · SD {1}", "MW {0} · SD {1}";
    region_full: "mean {0}, SD {1}, min {2}, max {3}, area {4}, {5} pixels", "Mittelwert {0}, SD {1}, Min. {2}, Max. {3}, Fläche {4}, {5} Pixel";
    region_label: "mean {0}  SD {1}\nmin {2}  max {3}\narea {4}", "MW {0}  SD {1}\nMin. {2}  Max. {3}\nFläche {4}";
    region_empty: "no pixel inside, area {0}", "kein Pixel darin, Fläche {0}";
    delete: "Delete", "Löschen";
    delete_measurement: "Delete {0}", "{0} löschen";
    delete_all: "Delete all", "Alle löschen";
    undo: "Undo", "Rückgängig";
    redo: "Redo", "Wiederholen";
    nothing_to_undo: "Nothing to undo", "Nichts rückgängig zu machen";
    nothing_to_redo: "Nothing to redo", "Nichts zu wiederholen";
    histogram: "Histogram", "Histogramm";
    histogram_slice: "Histogram of the slice: {0} samples from {1} to {2}", "Histogramm der Schicht: {0} Werte von {1} bis {2}";
    histogram_region: "Histogram of {0}: {1} samples from {2} to {3}", "Histogramm von {0}: {1} Werte von {2} bis {3}";
    measurements_damaged: "The measurements of this series could not be read; the file was set aside: {0}", "Die Messungen dieser Serie waren nicht lesbar; die Datei wurde zur Seite gelegt: {0}";
    // Results
    slice_view: "Slice view", "Schichtansicht";
    back_to_series: "Back to the series", "Zurück zur Serie";
    synthetic: "Synthetic (AI)", "Synthetisch (KI)";
    result_title: "{0}. {1}\n{2}\n{3}", "{0}. {1}\n{2}\n{3}";
    result_name: "Result {0}: {1}", "Ergebnis {0}: {1}";
    remove: "Remove", "Entfernen";
    remove_hint: "Drop this result", "Dieses Ergebnis verwerfen";
    save_png: "Save PNG…", "PNG speichern…";
    save_png_hint: "The marked picture and its provenance", "Das gekennzeichnete Bild und seine Herkunft";
    swipe: "Swipe", "Vorhang";
    side_by_side: "Side by side", "Nebeneinander";
    result_of: "{0} of {1}", "{0} von {1}";
    looks_like_copy: "Warning: this output is nearly its input (SSIM {0}): do not read it as another modality", "Achtung: diese Ausgabe ist fast ihre Eingabe (SSIM {0}): lesen Sie sie nicht als andere Modalität";
    input: "Input", "Eingabe";
    input_less_output: "Input less synthetic (AI): orange where the input is brighter, blue where the output is", "Eingabe weniger synthetisch (KI): orange, wo die Eingabe heller ist, blau, wo die Ausgabe heller ist";
    curtain: "Curtain", "Vorhangposition";
    made_by: "Made by {0}{1} in {2} s · similarity to the input (SSIM) {3}", "Erzeugt von {0}{1} in {2} s · Ähnlichkeit zur Eingabe (SSIM) {3}";
    untrained_suffix: " (untrained test model)", " (untrainiertes Testmodell)";
    provenance: "Provenance", "Herkunft";
    prov_task: "Task", "Aufgabe";
    prov_instruction: "Instruction", "Anweisung";
    prov_plugin: "Plug-in", "Plug-in";
    prov_model_hash: "Model SHA-256", "Modell-SHA-256";
    prov_sampling: "Tokens chosen", "Token-Auswahl";
    prov_device: "Device", "Gerät";
    prov_software: "Software", "Software";
    prov_input_hash: "Input SHA-256", "Eingabe-SHA-256";
    prov_output_hash: "Output SHA-256", "Ausgabe-SHA-256";
    // Header fields
    tags: "Tags", "Tags";
    training: "Training…", "Training…";
    training_title: "Train a plug-in or a model", "Plug-in oder Modell trainieren";
    training_hint: "A run is a TOML file; a paused one goes on from its last checkpoint", "Ein Lauf ist eine TOML-Datei; ein angehaltener geht vom letzten Zwischenstand weiter";
    training_config: "Configuration of the run", "Konfiguration des Laufs";
    training_config_hint: "path of a train.toml", "Pfad einer train.toml";
    training_choose: "Choose…", "Auswählen…";
    training_choose_title: "Choose the configuration of a training run", "Konfiguration eines Trainingslaufs auswählen";
    training_instead: "type the path into the field", "tippen Sie den Pfad in das Feld";
    training_start: "Start", "Starten";
    training_pause: "Pause", "Anhalten";
    training_resume: "Resume", "Fortsetzen";
    training_busy: "The model is busy ({0}); stop that first", "Das Modell ist beschäftigt ({0}); beenden Sie das zuerst";
    training_paused: "Paused; log and checkpoint are in {0}", "Angehalten; Protokoll und Zwischenstand liegen in {0}";
    training_finished: "Finished; the result is in {0}", "Fertig; das Ergebnis liegt in {0}";
    training_no_steps: "No step done yet", "Noch kein Schritt getan";
    training_curve_at: "Loss curve, last loss {0}", "Verlustkurve, letzter Verlust {0}";
    training_loss: "Loss", "Verlust";
    training_steps: "step {0}", "Schritt {0}";
    training_progress: "Step {0} of {1}, {2} min so far, about {3} min left", "Schritt {0} von {1}, bisher {2} min, noch etwa {3} min";
    training_sample: "Last validation sample: input, result (synthetic), target", "Letztes Validierungsbeispiel: Eingabe, Ergebnis (synthetisch), Ziel";
    tags_hint: "Every field of the file that the slice is from", "Alle Felder der Datei, aus der die Schicht stammt";
    tags_title: "Header fields", "Header-Felder";
    tags_search: "Search fields", "Felder durchsuchen";
    tags_search_hint: "tag, name or value", "Tag, Name oder Wert";
    tags_count: "{0} of {1} fields", "{0} von {1} Feldern";
    tags_loading: "Reading the header…", "Header wird gelesen…";
    tags_none: "Open a DICOM or NIfTI series to see its header", "Öffnen Sie eine DICOM- oder NIfTI-Serie, um ihren Header zu sehen";
    tags_tag: "Tag", "Tag";
    tags_vr: "VR", "VR";
    tags_name: "Name", "Name";
    tags_value: "Value", "Wert";
    tags_cut: "{0} … ({1} characters)", "{0} … ({1} Zeichen)";
    // Settings
    language: "Language", "Sprache";
    theme: "Theme", "Farbschema";
    theme_dark: "Reading room (dark)", "Befundraum (dunkel)";
    theme_light: "Light", "Hell";
    theme_contrast: "High contrast", "Hoher Kontrast";
    scale: "Size of the interface", "Größe der Oberfläche";
    scale_percent: "{0} %", "{0} %";
    remember_recent: "Remember recent files", "Zuletzt geöffnete Dateien merken";
    remember_recent_hint: "Paths only, in the settings file of this user", "Nur Pfade, in der Einstellungsdatei dieses Benutzers";
    reopen_last: "Reopen the last study at the start", "Letzte Studie beim Start wieder öffnen";
    runs_on: "Models run on", "Modelle laufen auf";
    runs_on_auto: "the best GPU, else the CPU", "der besten GPU, sonst der CPU";
    runs_on_cpu: "the CPU", "der CPU";
    runs_on_hint: "From the next start on", "Ab dem nächsten Start";
    recover_session: "Keep the session until it ends, to restore it after a crash", "Sitzung bis zu ihrem Ende sichern, um sie nach einem Absturz wiederherzustellen";
    recover_session_hint: "Paths, layout, windows and chat, in a file that only this user can read; deleted when the program ends properly", "Pfade, Anordnung, Fenster und Chat, in einer Datei, die nur dieser Benutzer lesen kann; gelöscht, wenn das Programm ordentlich endet";
    session_left: "The last session did not end properly. Its scans, layout, windows, measurements and chat can be restored.", "Die letzte Sitzung endete nicht ordentlich. Aufnahmen, Anordnung, Fenster, Messungen und Chat können wiederhergestellt werden.";
    crash_report: "A report of the fault, without patient data, is in {0}", "Ein Bericht über den Fehler, ohne Patientendaten, liegt in {0}";
    restore: "Restore", "Wiederherstellen";
    discard: "Discard", "Verwerfen";
    restored_less: "Files or folders of the session that are no longer there: {0}", "Dateien oder Ordner der Sitzung, die es nicht mehr gibt: {0}";
    session_damaged: "The session that was kept could not be read; the file was set aside: {0}", "Die gesicherte Sitzung war nicht lesbar; die Datei wurde zur Seite gelegt: {0}";
    clear_recent: "Forget recent files", "Zuletzt geöffnete Dateien vergessen";
    reset_all: "Reset all settings", "Alle Einstellungen zurücksetzen";
    settings_kept_in: "Kept in {0}", "Gespeichert in {0}";
    settings_not_kept: "This run keeps no settings", "Dieser Lauf speichert keine Einstellungen";
    settings_damaged: "The settings could not be read, so the defaults are used; the old file was kept as {0}", "Die Einstellungen waren nicht lesbar; es gelten die Vorgaben, die alte Datei liegt als {0} bereit";
    not_written: "A file could not be written, so this change lasts only until the program ends ({0})", "Eine Datei konnte nicht geschrieben werden; diese Änderung gilt nur, bis das Programm endet ({0})";
    bad_keys: "Some keys in the settings mean nothing or twice the same, so they keep their defaults: {0}", "Einige Tasten in den Einstellungen sind ungültig oder doppelt und behalten ihre Vorgabe: {0}";
    key_map: "Keys", "Tasten";
    key_change: "Change the key for {0}, now {1}", "Taste ändern für {0}, jetzt {1}";
    key_none: "none", "keine";
    key_press_now: "Press a key… (Esc keeps it)", "Taste drücken… (Esc behält sie)";
    key_taken: "{0} is already the key for {1}; change that one first", "{0} ist schon die Taste für {1}; ändern Sie zuerst diese";
    key_fixed: "{0} cannot be used: it moves between controls or stops what runs", "{0} geht nicht: die Taste wechselt zwischen Bedienelementen oder stoppt, was läuft";
    key_reset: "Default keys", "Vorgabetasten";
    // What keys do
    do_slice_back: "Slice back", "Schicht zurück";
    do_slice_forward: "Slice forward", "Schicht vor";
    do_first_slice: "First slice", "Erste Schicht";
    do_last_slice: "Last slice", "Letzte Schicht";
    do_previous_series: "Previous series", "Vorige Serie";
    do_next_series: "Next series", "Nächste Serie";
    do_previous_viewport: "Previous viewport", "Voriges Ansichtsfenster";
    do_next_viewport: "Next viewport", "Nächstes Ansichtsfenster";
    do_planes: "Axial, coronal and sagittal (MPR)", "Axial, koronal und sagittal (MPR)";
    do_maximise: "One viewport large, and back", "Ein Ansichtsfenster groß, und zurück";
    measure_off: "Measure on single slices: switch the slab off under Display", "Gemessen wird auf einzelnen Schichten: schalten Sie die dicke Schicht unter Darstellung aus";
    do_window_automatic: "Automatic window", "Automatisches Fenster";
    do_window_file_1: "The file's first window", "Erstes Fenster der Datei";
    do_window_file_2: "The file's second window", "Zweites Fenster der Datei";
    do_window_brain: "CT window: brain", "CT-Fenster: Gehirn";
    do_window_abdomen: "CT window: abdomen", "CT-Fenster: Abdomen";
    do_window_mediastinum: "CT window: mediastinum", "CT-Fenster: Mediastinum";
    do_window_bone: "CT window: bone", "CT-Fenster: Knochen";
    do_window_lung: "CT window: lung", "CT-Fenster: Lunge";
    do_window_mip: "CT window: MIP", "CT-Fenster: MIP";
    do_zoom_in: "Zoom in", "Vergrößern";
    do_zoom_out: "Zoom out", "Verkleinern";
    do_focus_question: "Type a question", "Frage eingeben";
    do_help: "Show the keys", "Tasten zeigen";
    do_cancel: "Stop the answer, image or cine, put the tool down, close the comparison", "Antwort, Bild oder Cine stoppen, Werkzeug weglegen, Vergleich schließen";
    // Mouse, in the list of keys
    mouse_wheel: "Wheel", "Rad";
    mouse_wheel_does: "slice back, forward", "Schicht zurück, vor";
    mouse_left: "Left drag", "Links ziehen";
    mouse_left_does: "the tool in hand; the window first: width to the side, center up and down", "das gewählte Werkzeug; zuerst das Fenster: Breite zur Seite, Mitte auf und ab";
    mouse_middle: "Middle drag, Shift+drag", "Mitte ziehen, Umschalt+ziehen";
    mouse_middle_does: "pan", "verschieben";
    mouse_right: "Right drag, Ctrl+wheel", "Rechts ziehen, Strg+Rad";
    mouse_right_does: "zoom", "Zoom";
    mouse_double: "Double click", "Doppelklick";
    mouse_double_does: "one viewport large, and back", "ein Ansichtsfenster groß, und zurück";
    mouse_click: "Click", "Klick";
    mouse_click_does: "crosshair: all viewports show this place", "Fadenkreuz: alle Ansichtsfenster zeigen diese Stelle";
    key_hold: "Hold a tool's key and drag", "Taste eines Werkzeugs halten und ziehen";
    key_hold_does: "the tool only as long as the key is down", "das Werkzeug nur, solange die Taste gedrückt ist";
    key_enter: "Enter", "Enter";
    key_enter_does: "send the question", "Frage senden";
    key_shift_enter: "Shift+Enter", "Umschalt+Enter";
    key_shift_enter_does: "new line in the question", "neue Zeile in der Frage";
    key_esc: "Esc", "Esc";
    // Names of keys
    key_ctrl: "Ctrl", "Strg";
    key_shift: "Shift", "Umschalt";
    key_alt: "Alt", "Alt";
    key_up: "Up", "Auf";
    key_down: "Down", "Ab";
    key_left: "Left", "Links";
    key_right: "Right", "Rechts";
    key_page_up: "Page up", "Bild auf";
    key_page_down: "Page down", "Bild ab";
    key_home: "Home", "Pos1";
    key_end: "End", "Ende";
    key_space: "Space", "Leertaste";
    key_backspace: "Backspace", "Rücktaste";
    key_delete: "Delete", "Entf";
    key_insert: "Insert", "Einfg";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `{0}`, `{1}` of a text, in order of number.
    fn places(text: &str) -> Vec<String> {
        let parts = text.split('{').skip(1);
        let mut places: Vec<String> = parts
            .filter_map(|part| part.split_once('}'))
            .map(|(number, _)| number.to_owned())
            .collect();
        places.sort();
        places.dedup();
        places
    }

    #[test]
    fn both_languages_have_every_text_with_the_same_places() {
        for (name, english, german) in ALL {
            for text in [english, german] {
                assert!(!text.trim().is_empty(), "{name} is empty");
                assert_eq!(
                    text.matches('{').count(),
                    text.matches('}').count(),
                    "{name}"
                );
            }
            assert_eq!(places(english), places(german), "{name}");
            let ends = |text: &str| (text.starts_with([' ', ',']), text.ends_with('…'));
            assert_eq!(
                ends(english),
                ends(german),
                "{name} begins or ends in another way"
            );
            assert_eq!(english.lines().count(), german.lines().count(), "{name}");
        }
        assert!(ALL.len() > 250, "{}", ALL.len());
    }

    #[test]
    fn most_texts_differ_between_the_languages() {
        let same = ALL.iter().filter(|(_, english, german)| english == german);
        assert!(same.count() * 8 < ALL.len(), "German is not translated");
    }

    #[test]
    fn places_are_filled_in_the_order_of_the_language() {
        assert_eq!(fill("{1} before {0}", &[&"a", &7]), "7 before a");
        assert_eq!(fill("{0} {0}", &[&1]), "1 1");
        assert_eq!(fill("{9}x{", &[&1]), "x");
        assert_eq!(fill("a {b} in braces", &[&"{0}"]), "a  in braces");
        assert_eq!(fill("{0}", &[&"{0} stays"]), "{0} stays");
    }

    #[test]
    fn the_language_belongs_to_the_thread_that_draws() {
        speak(Language::German);
        assert_eq!(words().close, "Schließen");
        let other = std::thread::spawn(|| words().close).join();
        assert_eq!(other.unwrap(), "Close");
        speak(Language::English);
    }
}
