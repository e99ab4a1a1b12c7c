import SwiftUI

struct ContentView: View {
    @State private var editor = Editor()
    @State private var prompt = "make it snow"

    var body: some View {
        VStack {
            if let image = editor.image {
                Image(decorative: image, scale: 1).resizable().scaledToFit()
            }
            Text(editor.status)
            TextField("What to change", text: $prompt)
                .onSubmit { Task { await editor.change(to: prompt) } }
        }
        .task { await editor.run() }
    }
}
